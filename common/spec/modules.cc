#include "common/spec/modules.h"

#include <re2/re2.h>

#include <algorithm>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace qsweep {
namespace {

// A spec comes from outside: its expressions have so much memory, each.
constexpr int64_t kExpressionBytes = 1 << 20;
constexpr size_t kExpressionsKept = 16;

bool IsExpression(absl::string_view pattern) {
  return absl::StartsWith(pattern, ".") ||
         pattern.find_first_of("\\()[]{}|^$+?") != absl::string_view::npos;
}

// Compiled once for the many modules that it is asked about.
const RE2& Expression(absl::string_view pattern) {
  thread_local absl::flat_hash_map<std::string, std::unique_ptr<RE2>> kept;
  if (kept.size() >= kExpressionsKept) kept.clear();
  std::unique_ptr<RE2>& expression = kept[pattern];
  if (expression == nullptr) {
    RE2::Options options(RE2::Quiet);
    options.set_max_mem(kExpressionBytes);
    expression = std::make_unique<RE2>(absl::StrCat("(?:.*\\.)?(?:", pattern, ")"), options);
  }
  return *expression;
}

// `*` never crosses a dot.
bool Glob(absl::string_view text, absl::string_view pattern) {
  size_t t = 0, p = 0, star = absl::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p, ++t;
    } else if (star != absl::string_view::npos && text[resume] != '.') {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

std::vector<std::string> NormNames(const ModelShape& model) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < model.depth; ++i) {
    names.push_back(absl::StrCat("blocks.", i, ".norm1"));
    names.push_back(absl::StrCat("blocks.", i, ".norm2"));
  }
  names.push_back("norm");
  return names;
}

std::vector<ModuleShape> BlockLinears(const ModelShape& model) {
  const int64_t dim = model.dim, hidden = model.dim * model.mlp_ratio;
  std::vector<ModuleShape> modules;
  for (int64_t i = 0; i < model.depth; ++i) {
    modules.push_back({absl::StrCat("blocks.", i, ".attn.qkv"), 3 * dim, dim});
    modules.push_back({absl::StrCat("blocks.", i, ".attn.proj"), dim, dim});
    modules.push_back({absl::StrCat("blocks.", i, ".mlp.fc1"), hidden, dim});
    modules.push_back({absl::StrCat("blocks.", i, ".mlp.fc2"), dim, hidden});
  }
  return modules;
}

bool ModuleMatches(absl::string_view module, absl::string_view pattern) {
  if (pattern == "all-linear") return absl::StartsWith(module, "blocks.");
  if (IsExpression(pattern)) {
    return RE2::FullMatch({module.data(), module.size()}, Expression(pattern));
  }
  // The suffix with as many components as the pattern has.
  const auto dots = std::count(pattern.begin(), pattern.end(), '.');
  size_t begin = module.size();
  for (auto left = dots + 1; left > 0; --left) {
    if (begin == 0) return false;
    const size_t dot = module.substr(0, begin - 1).rfind('.');
    begin = dot == absl::string_view::npos ? 0 : dot + 1;
  }
  return Glob(module.substr(begin), pattern);
}

bool ModuleMatchesAny(absl::string_view module,
                      const google::protobuf::RepeatedPtrField<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [module](const std::string& pattern) {
    return ModuleMatches(module, pattern);
  });
}

std::string PatternError(absl::string_view pattern) {
  return IsExpression(pattern) ? Expression(pattern).error() : "";
}

}  // namespace qsweep
