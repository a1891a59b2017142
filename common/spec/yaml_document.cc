#include "common/spec/yaml_document.h"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <sstream>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/utf8.h"
#include "common/wording.h"

namespace qsweep {
namespace {

constexpr size_t kMaxShown = 100;
constexpr int kMaxDepth = 16;
constexpr char kTooDeep[] = "nested deeper than 16 levels";
constexpr int64_t kMaxValues = 1'000'000;

// Counts what a walk over the document would visit: an alias is followed each time, so a few lines
// can stand for billions of values, or for themselves.
class ShapeCheck {
 public:
  explicit ShapeCheck(ProblemList* problems) : problems_(problems) {}

  // False: give up, the document must not be walked.
  bool Visit(const YAML::Node& node, int depth) {
    if (depth > kMaxDepth) return Refuse(node, kTooDeep);
    if (++values_ > kMaxValues)
      return Refuse(node, absl::StrCat("more than ", kMaxValues, " values"));
    if (node.IsMap()) return VisitMap(node, depth);
    if (!node.IsSequence()) return true;
    return std::all_of(node.begin(), node.end(),
                       [&](const YAML::Node& element) { return Visit(element, depth + 1); });
  }

 private:
  bool VisitMap(const YAML::Node& map, int depth) {
    absl::flat_hash_set<std::string> keys;
    for (const auto& entry : map) {
      if (!entry.first.IsScalar()) return Refuse(entry.first, "a key must be a plain name");
      if (!keys.insert(entry.first.Scalar()).second) {
        problems_->Add(
            LineOf(entry.first), "",
            absl::StrCat("key ", Quoted(entry.first.Scalar()), " is there twice; remove one"));
      }
      if (!Visit(entry.second, depth + 1)) return false;
    }
    return true;
  }

  bool Refuse(const YAML::Node& node, absl::string_view why) {
    problems_->Add(LineOf(node), "", why);
    return false;
  }

  ProblemList* problems_;
  int64_t values_ = 0;
};

// Where the second document of a stream begins. YAML::Load stops after the first and YAML::LoadAll
// never ends on some malformed streams.
class SecondDocument : public YAML::EventHandler {
 public:
  // 0: there is none.
  static int Line(const std::string& text) {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    SecondDocument handler;
    while (handler.documents_ < 2 && parser.HandleNextDocument(handler)) {
    }
    return handler.line_;
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 2) line_ = mark.line + 1;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  int documents_ = 0;
  int line_ = 0;
};

// Line `number`, from 1 on.
absl::string_view LineAt(absl::string_view text, int number) {
  for (; number > 1; --number) {
    const size_t end = text.find('\n');
    if (end == absl::string_view::npos) return "";
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

// What yaml-cpp says of indentation is of what it took the line for.
std::string NotYaml(absl::string_view line, absl::string_view message) {
  const absl::string_view indent = line.substr(0, line.find_first_not_of(" \t"));
  if (absl::StrContains(indent, '\t')) return "not YAML: a tab; indent with spaces";
  return absl::StrCat("not YAML: ", message, "; check its indentation, quotes and brackets");
}

}  // namespace

void ProblemList::Add(int line, absl::string_view path, absl::string_view message) {
  if (!path.empty()) paths_.emplace(path);
  problems_.emplace_back(line,
                         path.empty() ? std::string(message) : absl::StrCat(path, ": ", message));
}

bool ProblemList::ConcernsSection(const std::string& section) const {
  if (paths_.count(section) > 0) return true;
  const std::string prefix = section + ".";
  const auto it = paths_.lower_bound(prefix);
  return it != paths_.end() && absl::StartsWith(*it, prefix);
}

absl::Status ProblemList::ToStatus() const {
  if (problems_.empty()) return absl::OkStatus();
  auto sorted = problems_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  for (size_t i = 0; i < std::min(sorted.size(), kMaxShown); ++i) {
    absl::StrAppend(&text, i ? "\n" : "", file_name_, ":", sorted[i].first, ": ", sorted[i].second);
  }
  if (sorted.size() > kMaxShown) {
    absl::StrAppend(&text, "\n", file_name_, ": and ", sorted.size() - kMaxShown, " problems more");
  }
  return absl::InvalidArgumentError(text);
}

absl::StatusOr<YAML::Node> ParseYamlMapping(const std::string& text, const std::string& file_name) {
  ProblemList problems(file_name);
  if (!IsValidUtf8(text) || text.find('\0') != std::string::npos) {
    problems.Add(1, "", "not UTF-8 text");
    return problems.ToStatus();
  }
  YAML::Node root;
  try {
    root.reset(YAML::Load(text));
    const int second = SecondDocument::Line(text);
    if (second > 0) problems.Add(second, "", "a second document; one is expected");
  } catch (const YAML::DeepRecursion& e) {
    problems.Add(std::max(e.mark.line + 1, 1), "", kTooDeep);
    return problems.ToStatus();
  } catch (const YAML::Exception& e) {
    const int line = std::max(e.mark.line + 1, 1);
    problems.Add(line, "", NotYaml(LineAt(text, line), e.msg));
    return problems.ToStatus();
  } catch (const std::exception& e) {  // yaml-cpp lets some of the standard library's through
    problems.Add(1, "", absl::StrCat("not YAML: ", e.what()));
    return problems.ToStatus();
  }
  if (problems.empty() && !root.IsMap()) {
    problems.Add(1, "",
                 absl::StrCat("must be a mapping, `key: value` lines, not ",
                              root.IsSequence() ? "a list"
                              : root.IsScalar() ? "a single value"
                                                : "empty"));
  }
  if (problems.empty()) ShapeCheck(&problems).Visit(root, 0);
  RETURN_IF_ERROR(problems.ToStatus());
  return root;
}

}  // namespace qsweep
