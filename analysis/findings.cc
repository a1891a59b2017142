#include "analysis/findings.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "analysis/numbers.h"
#include "analysis/statistics.h"

namespace qsweep {
namespace {

// Comparisons told one by one; the table has all.
constexpr int kCompared = 12;
// Names of configurations that are equally good.
constexpr size_t kTied = 3;

// "p = 0.031", "p < 0.001".
std::string PText(double p) {
  const std::string number = PNumber(p);
  return absl::StrCat(number[0] == '<' ? "p " : "p = ", number);
}

std::string Where(const v1::Comparison& comparison) {
  return absl::StrCat(
      comparison.quantization(), " on ", comparison.model(), ", ", comparison.dataset(),
      comparison.differs().empty() ? "" : absl::StrCat(" (", comparison.differs(), ")"));
}

std::string RunsText(const v1::RunCounts& runs) {
  const int total =
      runs.pending() + runs.running() + runs.succeeded() + runs.failed() + runs.cancelled();
  std::string text = absl::StrCat(runs.succeeded(), " of ", total, " runs have a result");
  const auto add = [&text](int n, const char* what) {
    if (n > 0) absl::StrAppend(&text, "; ", n, " ", what);
  };
  add(runs.failed(), "failed");
  add(runs.cancelled(), "cancelled");
  add(runs.running(), "still running");
  add(runs.pending(), "still waiting");
  return text + ".";
}

std::string ComparisonText(const v1::Comparison& comparison) {
  const v1::PairedResult& result = comparison.result();
  if (result.difference().n() == 0) return Where(comparison) + ": " + result.note() + ".";
  std::string text = absl::StrCat(
      Where(comparison), ": top-1 changes by ", PointsText(result.difference()), " points",
      result.difference().has_ci_low() ? " (95 % CI)" : "", " against the unquantized base (",
      Plural(result.difference().n(), "seed"), ", ", Plural(result.pairs(), "pair"));
  if (comparison.has_p_holm()) {
    absl::StrAppend(&text, ", ", PText(comparison.p_holm()), " after Holm's correction");
  }
  absl::StrAppend(&text, ")");
  if (!result.note().empty()) absl::StrAppend(&text, "; ", result.note());
  if (comparison.has_margin() && comparison.has_non_inferiority()) {
    absl::StrAppend(&text, "; a loss of ", absl::StrFormat("%g", 100 * comparison.margin()),
                    " points or more is ",
                    comparison.non_inferiority() == "non-inferior" ? "ruled out"
                    : comparison.non_inferiority() == "inferior"   ? "shown"
                                                                   : "neither shown nor ruled out");
  }
  return text + ".";
}

using Groups = std::vector<const v1::GroupSummary*>;

// All groups with a result for which `value` is the least.
template <typename Value>
Groups Least(const v1::ExperimentsSummary& summary, Value value) {
  Groups least;
  for (const v1::GroupSummary& group : summary.groups()) {
    if (group.top1().n() == 0) continue;
    if (!least.empty() && value(group) > value(*least[0])) continue;
    if (!least.empty() && value(group) < value(*least[0])) least.clear();
    least.push_back(&group);
  }
  return least;
}

std::string GroupText(const v1::GroupSummary& group) {
  return absl::StrFormat(
      "%s: top-1 %.2f %%, weights %.2f MB (%.0f %% less than in fp32), peak %.0f MB", group.label(),
      100 * group.top1().mean(), group.weights_bytes() / 1e6, 100 * group.weights_reduction(),
      group.peak_bytes() / 1e6);
}

// "Most accurate is A: top-1 ...", "Most accurate are, all alike, A and B, the first: top-1 ...".
std::string GroupsText(const char* what, const Groups& groups) {
  if (groups.size() == 1) return absl::StrCat(what, " is ", GroupText(*groups[0]), ".");
  std::vector<std::string> labels;
  for (size_t i = 0; i < std::min(groups.size(), kTied); ++i) labels.push_back(groups[i]->label());
  if (groups.size() > kTied) labels.push_back(absl::StrCat(groups.size() - kTied, " more"));
  return absl::StrCat(what, " are ", Plural(static_cast<int64_t>(groups.size()), "configuration"),
                      " that tie (", absl::StrJoin(labels, "; "), "), of them ",
                      GroupText(*groups[0]), ".");
}

}  // namespace

std::string PointsText(const v1::Statistic& difference) {
  const std::string mean =
      absl::StrReplaceAll(SignedNumber(100 * difference.mean(), 2), {{"-", "−"}});
  if (!difference.has_ci_low()) return mean;
  return absl::StrCat(mean, absl::StrFormat(" ± %.2f", 100 * HalfWidth(difference)));
}

std::vector<std::string> Findings(const v1::ExperimentsSummary& summary) {
  std::vector<std::string> findings = {RunsText(summary.runs())};
  const Groups best = Least(summary, [](const auto& g) { return -g.top1().mean(); });
  const Groups smallest = Least(summary, [](const auto& g) { return g.weights_bytes(); });
  if (!best.empty()) findings.push_back(GroupsText("Most accurate", best));
  if (smallest != best) findings.push_back(GroupsText("Smallest", smallest));
  for (int i = 0; i < summary.comparisons_size() && i < kCompared; ++i) {
    findings.push_back(ComparisonText(summary.comparisons(i)));
  }
  if (summary.comparisons_size() > kCompared) {
    findings.push_back(absl::StrCat("And ", summary.comparisons_size() - kCompared,
                                    " more comparisons, in the table."));
  }
  int met = 0, not_met = 0, undecided = 0;
  for (const v1::Expectation& e : summary.expectations()) {
    (e.verdict() == "met" ? met : e.verdict() == "not met" ? not_met : undecided) += 1;
  }
  if (summary.expectations_size() > 0) {
    findings.push_back(absl::StrCat("Of ", summary.expectations_size(), " expectations ", met,
                                    " are met, ", not_met, " are not, ", undecided,
                                    " cannot be decided with these runs."));
  }
  bool single = false;
  for (const v1::GroupSummary& group : summary.groups()) single |= group.top1().n() == 1;
  if (single) {
    findings.emplace_back(
        "Where a configuration has one seed only there is no interval, and nothing "
        "is said about significance.");
  }
  return findings;
}

}  // namespace qsweep
