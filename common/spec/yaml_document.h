// A YAML file as it comes from outside: what is refused before anyone looks at its meaning, and the
// list in which everything wrong with it is collected.
#ifndef QSWEEP_COMMON_SPEC_YAML_DOCUMENT_H_
#define QSWEEP_COMMON_SPEC_YAML_DOCUMENT_H_

#include <yaml-cpp/yaml.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qsweep {

// Problems of one file, to be shown together.
class ProblemList {
 public:
  explicit ProblemList(std::string file_name) : file_name_(std::move(file_name)) {}

  // `path` is dotted and may be empty.
  void Add(int line, absl::string_view path, absl::string_view message);
  bool empty() const { return problems_.empty(); }
  bool Concerns(const std::string& path) const { return paths_.count(path) > 0; }
  // Whether one is about the section or anything in it, known or not.
  bool ConcernsSection(const std::string& section) const;
  // OK if there are none; else InvalidArgument, a line "file:line: path: message" each, in the
  // order of the file. After the first hundred only their number is given.
  absl::Status ToStatus() const;

 private:
  std::string file_name_;
  std::vector<std::pair<int, std::string>> problems_;
  std::set<std::string> paths_;
};

inline int LineOf(const YAML::Node& node) { return node.Mark().line + 1; }

// The one mapping that `text` is: valid UTF-8, no more than 16 levels deep and a million values
// when aliases are followed, keys that are scalars and differ. InvalidArgument as ProblemList
// writes it.
absl::StatusOr<YAML::Node> ParseYamlMapping(const std::string& text, const std::string& file_name);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_YAML_DOCUMENT_H_
