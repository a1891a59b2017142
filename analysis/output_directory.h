// A directory that appears whole or not at all.
#ifndef QSWEEP_ANALYSIS_OUTPUT_DIRECTORY_H_
#define QSWEEP_ANALYSIS_OUTPUT_DIRECTORY_H_

#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qsweep {

// A name for a file or directory, whatever the text holds: bytes other than letters, digits and
// . _ + = , - become %XX, and so does a dot in front; long ones end in a part of their hash.
// Different texts get different names.
std::string PathName(absl::string_view text);

// What a directory holds, as its MANIFEST says.
inline constexpr char kReport[] = "report", kExport[] = "export";

// Files are collected in a directory beside the one they are for, which takes its place at the end
// in one step. MANIFEST, written last, lists them: a directory that holds anything else, or is of
// another kind, is not replaced.
class OutputDirectory {
 public:
  // FailedPrecondition, naming the first strange entry, if `path` holds what no MANIFEST of this
  // kind lists. Two processes writing the same path do not disturb each other; the last one's
  // stays.
  static absl::StatusOr<OutputDirectory> Create(const std::string& path, const char* kind);
  OutputDirectory(OutputDirectory&& other) noexcept;
  OutputDirectory& operator=(OutputDirectory&&) = delete;
  // Removes everything if there was no Commit.
  ~OutputDirectory();

  // `name` is a relative path; directories are made.
  absl::Status Write(const std::string& name, absl::string_view bytes);
  // To the end of a file that this made, or begins.
  absl::Status Append(const std::string& name, absl::string_view bytes);
  bool Has(const std::string& name) const { return files_.contains(name); }
  // For another program that writes files: where `name` will be, its directory made.
  absl::StatusOr<std::string> Place(const std::string& name);
  // Checks that it is there and not empty.
  absl::Status Placed(const std::string& name);

  // Everything on disk, then in place. Once.
  absl::Status Commit();

 private:
  OutputDirectory(std::string path, std::string temporary, const char* kind)
      : path_(std::move(path)), temporary_(std::move(temporary)), kind_(kind) {}
  absl::Status MakeParent(const std::string& name);
  absl::Status WriteTo(const std::string& name, int flags, absl::string_view bytes);

  std::string path_;
  std::string temporary_;  // empty: committed or moved from
  const char* kind_;
  std::set<std::string> files_, directories_;
};

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_OUTPUT_DIRECTORY_H_
