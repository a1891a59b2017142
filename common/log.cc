#include "common/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/file.h"

namespace qsweep {
namespace {

std::string& Name() {
  static std::string name = "qsweep";
  return name;
}

// The file that lines go to. Thread-safe.
class LogFile {
 public:
  absl::Status Open(const std::string& path, int64_t max_bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    path_ = path;
    max_bytes_ = max_bytes;
    return Reopen();
  }
  void Write(const std::string& line) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!fd_.valid()) return (void)WriteAll(STDERR_FILENO, line, "stderr");  // nowhere to complain
    bytes_ += static_cast<int64_t>(line.size());
    if (bytes_ > max_bytes_) Rotate(static_cast<int64_t>(line.size()));
    (void)WriteAll(fd_.get(), line, path_);
  }

 private:
  absl::Status Reopen() {
    FileDescriptor fd(
        ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
    if (!fd.valid()) return ErrnoStatus(errno, path_, "open");
    bytes_ = FileSize(path_).value_or(0);
    fd_ = std::move(fd);
    return absl::OkStatus();
  }
  void Rotate(int64_t first_line) {
    const auto name = [this](int i) { return i == 0 ? path_ : absl::StrCat(path_, ".", i); };
    for (int i = kKeptLogFiles; i > 0; --i) ::rename(name(i - 1).c_str(), name(i).c_str());
    bytes_ = 0;
    (void)Reopen();  // should it fail, the old file goes on under its new name, as long again
    bytes_ += first_line;
  }

  std::mutex mutex_;
  // Guarded by mutex_.
  std::string path_;
  int64_t max_bytes_ = 0;
  int64_t bytes_ = 0;
  FileDescriptor fd_;
};

LogFile& File() {
  static LogFile* file = new LogFile;  // lives for ever: threads may log to the end
  return *file;
}

// One line, whatever characters are in it: what a terminal obeys is shown and not sent.
std::string Line(absl::string_view text) {
  std::string line;
  for (const char c : text) {
    if (c == '\n') {
      line += "\\n";
    } else if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      absl::StrAppend(&line, "\\x", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      line += c;
    }
  }
  return line;
}

void Write(absl::string_view level, absl::string_view text) {
  const absl::Time now = absl::FromUnixMicros(SystemClock().UnixMicros());
  const std::string line =
      absl::StrCat(absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", now, absl::UTCTimeZone()), " ", level,
                   " ", Name(), " ", Line(text), "\n");
  File().Write(line);
}

}  // namespace

void SetLogName(absl::string_view name) { Name() = std::string(name); }
absl::Status SetLogFile(const std::string& path, int64_t max_bytes) {
  return File().Open(path, max_bytes);
}
void LogInfo(absl::string_view text) { Write("info", text); }
void LogWarning(absl::string_view text) { Write("warning", text); }
void LogError(absl::string_view text) { Write("error", text); }

}  // namespace qsweep
