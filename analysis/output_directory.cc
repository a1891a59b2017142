#include "analysis/output_directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/status.h"

namespace qsweep {
namespace {

namespace fs = std::filesystem;

constexpr char kManifest[] = "MANIFEST";
constexpr size_t kLongestName = 180;

std::string ManifestHead(const char* kind) { return absl::StrCat("qsweep ", kind, "\n"); }

absl::Status RefuseOthersContent(const std::string& path, const char* kind) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::not_found) return absl::OkStatus();
  if (status.type() != fs::file_type::directory) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": is there and is no directory; choose another"));
  }
  std::set<std::string> ours = {kManifest};
  const std::string manifest = ReadFile(JoinPath(path, kManifest), 1 << 30).value_or("");
  absl::string_view names = manifest;
  if (absl::ConsumePrefix(&names, ManifestHead(kind))) {
    for (const absl::string_view name : absl::StrSplit(names, '\n')) ours.emplace(name);
  }
  for (auto it = fs::recursive_directory_iterator(path, error);
       !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const std::string name = it->path().lexically_relative(path).string();
    if (it->is_directory(error) && !it->is_symlink(error)) continue;
    if (ours.size() == 1 || !ours.contains(name)) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": holds ", name, ", which is of no ", kind, " of ours",
                       "; choose another directory or move that away"));
    }
  }
  if (error) return ErrnoStatus(error.value(), path, "list");
  return absl::OkStatus();
}

}  // namespace

std::string PathName(absl::string_view text) {
  std::string name;
  for (const char c : text) {
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                       absl::string_view("._+=,-").find(c) != absl::string_view::npos;
    if (plain && !(name.empty() && c == '.')) {
      name.push_back(c);
    } else {
      absl::StrAppendFormat(&name, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  if (name.empty()) return "%";
  if (name.size() <= kLongestName) return name;
  return absl::StrCat(name.substr(0, kLongestName - 17), "%", Sha256Hex(text).substr(0, 16));
}

absl::StatusOr<OutputDirectory> OutputDirectory::Create(const std::string& path, const char* kind) {
  const std::string normal = fs::path(path).lexically_normal().string();
  const std::string target(absl::StripSuffix(normal, "/"));
  if (const fs::path name = fs::path(target).filename();
      name.empty() || name == "." || name == "..") {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", path, "': the output directory needs a name: it is made beside its place"));
  }
  RETURN_IF_ERROR(RefuseOthersContent(target, kind));
  const std::string parent = fs::path(target).parent_path().string();
  if (!parent.empty()) RETURN_IF_ERROR(MakeDirectories(parent));
  std::string temporary = absl::StrCat(target, ".XXXXXX");
  if (::mkdtemp(temporary.data()) == nullptr) return ErrnoStatus(errno, target, "create");
  if (::chmod(temporary.c_str(), 0755) != 0) return ErrnoStatus(errno, temporary, "chmod");
  return OutputDirectory(target, temporary, kind);
}

OutputDirectory::OutputDirectory(OutputDirectory&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, "")),
      kind_(other.kind_),
      files_(std::move(other.files_)),
      directories_(std::move(other.directories_)) {}

OutputDirectory::~OutputDirectory() {
  if (!temporary_.empty()) (void)RemoveTree(temporary_);
}

absl::Status OutputDirectory::MakeParent(const std::string& name) {
  const size_t slash = name.rfind('/');
  if (slash == std::string::npos || !directories_.insert(name.substr(0, slash)).second) {
    return absl::OkStatus();
  }
  return MakeDirectories(JoinPath(temporary_, name.substr(0, slash)));
}

absl::Status OutputDirectory::Write(const std::string& name, absl::string_view bytes) {
  return WriteTo(name, O_EXCL, bytes);
}

absl::Status OutputDirectory::Append(const std::string& name, absl::string_view bytes) {
  return WriteTo(name, O_APPEND, bytes);
}

absl::Status OutputDirectory::WriteTo(const std::string& name, int flags, absl::string_view bytes) {
  ASSIGN_OR_RETURN(const std::string path, Place(name));
  const FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644));
  if (!fd.valid()) return ErrnoStatus(errno, JoinPath(path_, name), "create");
  RETURN_IF_ERROR(WriteAll(fd.get(), bytes, JoinPath(path_, name)));
  files_.insert(name);
  return absl::OkStatus();
}

absl::StatusOr<std::string> OutputDirectory::Place(const std::string& name) {
  QSWEEP_CHECK(!temporary_.empty() && !name.empty() && name[0] != '/');
  RETURN_IF_ERROR(MakeParent(name));
  return JoinPath(temporary_, name);
}

absl::Status OutputDirectory::Placed(const std::string& name) {
  ASSIGN_OR_RETURN(const int64_t size, FileSize(JoinPath(temporary_, name)));
  if (size == 0) return absl::DataLossError(absl::StrCat(name, ": was made, but is empty"));
  files_.insert(name);
  return absl::OkStatus();
}

absl::Status OutputDirectory::Commit() {
  std::string manifest = ManifestHead(kind_);
  for (const std::string& name : files_) absl::StrAppend(&manifest, name, "\n");
  RETURN_IF_ERROR(Write(kManifest, manifest));
  const FileDescriptor fd(::open(temporary_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, temporary_, "open");
  // One call for tens of thousands of files; an fsync for each would take minutes.
  if (::syncfs(fd.get()) != 0) return ErrnoStatus(errno, temporary_, "sync");
  if (::rename(temporary_.c_str(), path_.c_str()) == 0) {  // there is none, or an empty one
    temporary_.clear();
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(RefuseOthersContent(path_, kind_));  // again: it may have come meanwhile
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) != 0) {
    return ErrnoStatus(errno, path_, "replace");
  }
  return RemoveTree(std::exchange(temporary_, ""));  // what was there before
}

}  // namespace qsweep
