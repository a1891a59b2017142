// A directory for the life of a test.
#ifndef QSWEEP_COMMON_TESTING_TEMPORARY_DIRECTORY_H_
#define QSWEEP_COMMON_TESTING_TEMPORARY_DIRECTORY_H_

#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/strings/string_view.h"
#include "common/file.h"
#include "common/status.h"

namespace qsweep {

// Made in `parent`, removed at the end with all that is in it. Its path is short enough for a
// socket in it.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(
      const std::string& parent = std::filesystem::temp_directory_path().string())
      : path_(JoinPath(parent, "qs-XXXXXX")) {
    QSWEEP_CHECK(::mkdtemp(path_.data()) != nullptr);
  }
  ~TemporaryDirectory() { (void)RemoveTree(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string Path(absl::string_view name) const { return JoinPath(path_, name); }
  // A directory in it, which is there.
  std::string Sub(absl::string_view name) const {
    QSWEEP_CHECK(MakeDirectories(Path(name)).ok());
    return Path(name);
  }

 private:
  std::string path_;
};

}  // namespace qsweep

#endif  // QSWEEP_COMMON_TESTING_TEMPORARY_DIRECTORY_H_
