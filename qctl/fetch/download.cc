#include "qctl/fetch/download.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/status.h"
#include "common/version.h"

namespace qsweep::qctl {
namespace {

// A connection that carries less than this for a minute is taken for broken.
constexpr long kLowSpeedBytes = 10, kLowSpeedSeconds = 60, kConnectSeconds = 30;
constexpr long kMostRedirects = 10;

// What one request came to.
struct Attempt {
  enum class Outcome { kWhole, kBrokenOff, kStartAgain, kFinal };
  Outcome outcome = Outcome::kFinal;
  absl::Status status;  // unless kWhole
};

class Transfer {
 public:
  Transfer(const Download& download, int fd, std::string partial)
      : download_(download), fd_(fd), partial_(std::move(partial)), checksum_(download.checksum) {}

  absl::Status Run();
  const Checksum& checksum() const { return checksum_; }

 private:
  Attempt Request();
  Attempt Judge(CURL* curl, CURLcode code, const char* text);
  void Prepare(CURL* curl);
  size_t OnHeader(absl::string_view line);
  size_t OnBody(absl::string_view bytes);
  int64_t Have() const;

  const Download& download_;
  const int fd_;
  const std::string partial_;
  Checksum checksum_;
  CURL* curl_ = nullptr;
  int64_t begin_ = 0;  // bytes there were before this request
  // What the server calls this version of the file, in the answer under way and in the one that
  // began it; empty if it says nothing.
  std::string version_, first_version_;
  absl::Status write_error_;
  bool stopped_ = false, too_large_ = false, other_version_ = false;
};

int64_t Transfer::Have() const {
  struct stat info;
  return ::fstat(fd_, &info) == 0 ? static_cast<int64_t>(info.st_size) : 0;
}

// "X-Linked-Etag: "<sha256>"", of the first answer of a Hugging Face server or its mirrors, and
// what tells one version of a file from another. A weak ETag does not, of its bytes.
size_t Transfer::OnHeader(absl::string_view line) {
  const size_t size = line.size();
  if (absl::StartsWith(line, "HTTP/")) version_.clear();
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return size;
  const absl::string_view name = line.substr(0, colon);
  absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  if ((absl::EqualsIgnoreCase(name, "etag") && !absl::StartsWith(value, "W/")) ||
      (absl::EqualsIgnoreCase(name, "last-modified") && version_.empty())) {
    version_ = std::string(value);
  }
  if (checksum_.kind != Checksum::Kind::kNone || !absl::EqualsIgnoreCase(name, "x-linked-etag")) {
    return size;
  }
  absl::ConsumePrefix(&value, "\"");
  absl::ConsumeSuffix(&value, "\"");
  if (IsSha256Hex(value)) checksum_ = {Checksum::Kind::kSha256, std::string(value)};
  return size;
}

size_t Transfer::OnBody(absl::string_view bytes) {
  long status = 0;
  curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
  if (status >= 300) return bytes.size();  // the text of an error page: not wanted
  if (begin_ == 0) first_version_ = version_;
  if (begin_ > 0 && checksum_.kind == Checksum::Kind::kNone &&
      (version_.empty() || version_ != first_version_)) {
    other_version_ = true;
    return 0;
  }
  if (Have() + static_cast<int64_t>(bytes.size()) > download_.max_bytes) {
    too_large_ = true;
    return 0;
  }
  write_error_ = WriteAll(fd_, bytes, partial_);
  return write_error_.ok() ? bytes.size() : 0;
}

void Transfer::Prepare(CURL* curl) {
  curl_easy_setopt(curl, CURLOPT_URL, download_.url.c_str());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, absl::StrCat("qsweep/", kVersion).c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kMostRedirects);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, kLowSpeedBytes);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kLowSpeedSeconds);
  curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(begin_));
  curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(download_.max_bytes));
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(
      curl, CURLOPT_HEADERFUNCTION, +[](char* data, size_t size, size_t count, void* self) {
        return static_cast<Transfer*>(self)->OnHeader({data, size * count});
      });
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(
      curl, CURLOPT_WRITEFUNCTION, +[](char* data, size_t size, size_t count, void* self) {
        return static_cast<Transfer*>(self)->OnBody({data, size * count});
      });
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, this);
  curl_easy_setopt(
      curl, CURLOPT_XFERINFOFUNCTION,
      +[](void* data, curl_off_t total, curl_off_t done, curl_off_t, curl_off_t) {
        auto* const self = static_cast<Transfer*>(data);
        if (!self->download_.progress) return 0;
        self->stopped_ =
            !self->download_.progress(self->begin_ + done, total > 0 ? self->begin_ + total : 0);
        return self->stopped_ ? 1 : 0;
      });
}

Attempt Transfer::Request() {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 &curl_easy_cleanup);
  if (curl == nullptr) return {Attempt::Outcome::kFinal, absl::InternalError("libcurl: no handle")};
  curl_ = curl.get();
  begin_ = Have();
  write_error_ = absl::OkStatus();
  too_large_ = other_version_ = false;
  char text[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, text);
  Prepare(curl_);
  const CURLcode code = curl_easy_perform(curl_);
  return Judge(curl_, code, text[0] != '\0' ? text : curl_easy_strerror(code));
}

Attempt Transfer::Judge(CURL* curl, CURLcode code, const char* text) {
  using Outcome = Attempt::Outcome;
  const auto says = [&](absl::string_view what) { return absl::StrCat(download_.url, ": ", what); };
  long http = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http);
  if (stopped_) return {Outcome::kFinal, absl::CancelledError("stopped")};
  if (!write_error_.ok()) return {Outcome::kFinal, write_error_};
  if (too_large_ || code == CURLE_FILESIZE_EXCEEDED) {
    return {Outcome::kFinal,
            absl::ResourceExhaustedError(says(
                absl::StrCat("more than ", download_.max_bytes, " bytes, which it cannot be")))};
  }
  // 416: there is nothing from there on, so what is here is whole or of something else; the
  // checksum will tell. Without one, only a new beginning is safe.
  if (http == 416) {
    return checksum_.kind != Checksum::Kind::kNone
               ? Attempt{Outcome::kWhole, {}}
               : Attempt{Outcome::kStartAgain, absl::InternalError(says("cannot be continued"))};
  }
  if (other_version_) {
    return {Outcome::kStartAgain,
            absl::InternalError(says("broke off, and nothing tells that the rest is of the same "
                                     "file; try again"))};
  }
  if (code == CURLE_RANGE_ERROR || (begin_ > 0 && code == CURLE_OK && http == 200)) {
    return {Outcome::kStartAgain, absl::InternalError(says("the server cannot continue a file"))};
  }
  if (http == 404 || http == 410) return {Outcome::kFinal, absl::NotFoundError(says("not there"))};
  if (http >= 500 || http == 429 || http == 408) {
    return {Outcome::kBrokenOff, absl::InternalError(says(absl::StrCat("HTTP status ", http)))};
  }
  if (http >= 300) {
    return {Outcome::kFinal, absl::InternalError(says(absl::StrCat("HTTP status ", http)))};
  }
  if (code == CURLE_OK) return {Outcome::kWhole, {}};
  const absl::Status status = absl::InternalError(says(text));
  const bool hopeless = code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
                        code == CURLE_TOO_MANY_REDIRECTS || code == CURLE_PEER_FAILED_VERIFICATION;
  return {hopeless ? Outcome::kFinal : Outcome::kBrokenOff, status};
}

absl::Status Transfer::Run() {
  int fruitless = 0;
  bool started_again = false;
  while (true) {
    const Attempt attempt = Request();
    const bool came_further = Have() > begin_;
    switch (attempt.outcome) {
      case Attempt::Outcome::kWhole:
        return absl::OkStatus();
      case Attempt::Outcome::kFinal:
        return attempt.status;
      case Attempt::Outcome::kStartAgain:
        if (::ftruncate(fd_, 0) != 0) return ErrnoStatus(errno, partial_, "truncate");
        if (started_again) return attempt.status;
        started_again = true;
        continue;
      case Attempt::Outcome::kBrokenOff:
        break;
    }
    fruitless = came_further ? 0 : fruitless + 1;
    if (fruitless > download_.retries) return attempt.status;
    const absl::Duration wait = download_.backoff * (1 << std::min(fruitless, 6));
    if (download_.retry) download_.retry(attempt.status, wait);
    // Asks on the way whether to stop.
    const absl::Duration until = SystemClock().Monotonic() + wait;
    while (SystemClock().Monotonic() < until) {
      if (download_.progress && !download_.progress(Have(), 0)) {
        return absl::CancelledError("stopped");
      }
      absl::SleepFor(std::min(download_.backoff, absl::Milliseconds(100)));
    }
  }
}

absl::Status Check(const Checksum& checksum, const std::string& url, const std::string& path) {
  if (checksum.kind == Checksum::Kind::kNone) return absl::OkStatus();
  const bool md5 = checksum.kind == Checksum::Kind::kMd5;
  ASSIGN_OR_RETURN(const std::string digest,
                   HexOfFile(path, md5 ? HashKind::kMd5 : HashKind::kSha256));
  if (digest == checksum.hex) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(url, ": has the ", md5 ? "MD5" : "SHA-256", " ", digest,
                                          ", must have ", checksum.hex,
                                          "; thrown away: another file, or damaged on the way"));
}

// Whether the path still names the open file.
bool StillAt(const std::string& path, int fd) {
  struct stat opened, named;
  return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

absl::StatusOr<FileDescriptor> OpenAlone(const std::string& path) {
  const size_t slash = path.rfind('/');
  RETURN_IF_ERROR(MakeDirectories(slash == std::string::npos ? "." : path.substr(0, slash)));
  while (true) {
    FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
    if (!fd.valid()) return ErrnoStatus(errno, path, "open");
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      return absl::AbortedError(absl::StrCat(path, ": another process is fetching it"));
    }
    // Whoever had it may have renamed or removed it since it was opened here: it would be written
    // to where it lies now.
    if (StillAt(path, fd.get())) return fd;
  }
}

absl::StatusOr<Downloaded> Fetch(const Download& download) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) return absl::InternalError("libcurl cannot be initialised");
  const std::string partial = download.destination + ".partial";
  ASSIGN_OR_RETURN(const FileDescriptor fd, OpenAlone(partial));
  Transfer transfer(download, fd.get(), partial);
  RETURN_IF_ERROR(transfer.Run());
  absl::Status good = Check(transfer.checksum(), download.url, partial);
  if (good.ok() && download.check) {
    good = Annotate(download.check(partial), absl::StrCat(download.url, ": thrown away"));
  }
  if (!good.ok()) {
    ::unlink(partial.c_str());
    return good;
  }
  if (::fsync(fd.get()) != 0) return ErrnoStatus(errno, partial, "fsync");
  RETURN_IF_ERROR(Rename(partial, download.destination));
  ASSIGN_OR_RETURN(const int64_t bytes, FileSize(download.destination));
  return Downloaded{bytes, transfer.checksum().kind != Checksum::Kind::kNone};
}

bool Matches(const std::string& path, const Checksum& checksum) {
  return checksum.kind != Checksum::Kind::kNone && Check(checksum, path, path).ok();
}

}  // namespace qsweep::qctl
