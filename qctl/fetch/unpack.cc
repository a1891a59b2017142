#include "qctl/fetch/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status.h"

namespace qsweep::qctl {
namespace {

constexpr size_t kReadBytes = 1 << 18;

class Unpacker {
 public:
  Unpacker(const std::string& archive, const std::string& into, int64_t max_bytes)
      : path_(archive), into_(into), left_(max_bytes) {}

  absl::Status Run(const std::vector<std::string>& members) {
    archive_read_support_filter_gzip(reader_.get());
    archive_read_support_format_tar(reader_.get());
    if (archive_read_open_filename(reader_.get(), path_.c_str(), kReadBytes) != ARCHIVE_OK) {
      return Damaged();
    }
    std::set<std::string> missing(members.begin(), members.end());
    archive_entry* entry = nullptr;
    while (true) {
      const int code = archive_read_next_header(reader_.get(), &entry);
      if (code == ARCHIVE_EOF) break;
      if (code != ARCHIVE_OK) return Damaged();
      const char* const full = archive_entry_pathname(entry);
      if (full == nullptr || archive_entry_filetype(entry) != AE_IFREG) continue;
      const std::string name = std::string(full).substr(std::string(full).rfind('/') + 1);
      if (missing.erase(name) > 0) RETURN_IF_ERROR(Extract(name));
    }
    if (missing.empty()) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(path_, ": lacks ", *missing.begin()));
  }

 private:
  absl::Status Damaged() {
    const char* const text = archive_error_string(reader_.get());
    return absl::DataLossError(absl::StrCat(path_, ": ", text == nullptr ? "damaged" : text));
  }

  absl::Status Extract(const std::string& name) {
    const std::string path = JoinPath(into_, name);
    const FileDescriptor fd(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!fd.valid()) return ErrnoStatus(errno, path, "open");
    std::string buffer(kReadBytes, '\0');
    while (true) {
      const la_ssize_t n = archive_read_data(reader_.get(), buffer.data(), buffer.size());
      if (n < 0) return Damaged();
      if (n == 0) break;
      left_ -= n;
      if (left_ < 0) return absl::DataLossError(absl::StrCat(path_, ": unpacks to too much"));
      RETURN_IF_ERROR(WriteAll(fd.get(), absl::string_view(buffer).substr(0, n), path));
    }
    return ::fsync(fd.get()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, path, "fsync");
  }

  const std::string& path_;
  const std::string& into_;
  int64_t left_;
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader_{archive_read_new(),
                                                                       &archive_read_free};
};

}  // namespace

absl::Status UnpackMembers(const std::string& archive, const std::vector<std::string>& members,
                           const std::string& directory, int64_t max_bytes) {
  const std::string unpacked = directory + ".unpacked";
  RETURN_IF_ERROR(RemoveTree(unpacked));
  RETURN_IF_ERROR(MakeDirectories(unpacked));
  const absl::Cleanup remove = [&unpacked] { (void)RemoveTree(unpacked); };
  RETURN_IF_ERROR(Unpacker(archive, unpacked, max_bytes).Run(members));
  RETURN_IF_ERROR(SyncDirectory(unpacked));
  const std::string replaced = directory + ".replaced";
  RETURN_IF_ERROR(RemoveTree(replaced));
  if (PathExists(directory)) RETURN_IF_ERROR(Rename(directory, replaced));
  RETURN_IF_ERROR(Rename(unpacked, directory));
  return RemoveTree(replaced);
}

}  // namespace qsweep::qctl
