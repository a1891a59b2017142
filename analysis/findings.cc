#include "analysis/findings.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace qsweep {
namespace {

// With a true minus sign.
std::string Signed(double value) {
  const std::string text = absl::StrFormat("%+.2f", value);
  return absl::StrReplaceAll(text == "-0.00" ? "+0.00" : text, {{"-", "−"}});
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
      result.difference().n(), result.difference().n() == 1 ? " pair" : " pairs");
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

const v1::GroupSummary* Best(const v1::ExperimentsSummary& summary) {
  const v1::GroupSummary* best = nullptr;
  for (const v1::GroupSummary& group : summary.groups()) {
    if (group.top1().n() == 0) continue;
    if (best == nullptr || group.top1().mean() > best->top1().mean()) best = &group;
  }
  return best;
}

const v1::GroupSummary* Smallest(const v1::ExperimentsSummary& summary) {
  const v1::GroupSummary* smallest = nullptr;
  for (const v1::GroupSummary& group : summary.groups()) {
    if (group.top1().n() == 0) continue;
    if (smallest == nullptr || group.weights_bytes() < smallest->weights_bytes()) smallest = &group;
  }
  return smallest;
}

std::string GroupText(const v1::GroupSummary& group) {
  return absl::StrFormat(
      "%s: top-1 %.2f %%, weights %.2f MB (%.0f %% less than in fp32), peak %.0f MB", group.label(),
      100 * group.top1().mean(), group.weights_bytes() / 1e6, 100 * group.weights_reduction(),
      group.peak_bytes() / 1e6);
}

}  // namespace

std::string PointsText(const v1::Statistic& difference) {
  const std::string mean = Signed(100 * difference.mean());
  if (!difference.has_ci_low()) return mean;
  return absl::StrCat(
      mean, absl::StrFormat(" ± %.2f", 50 * (difference.ci_high() - difference.ci_low())));
}

std::string PText(double p) {
  if (p < 0.001) return "p < 0.001";
  return absl::StrFormat("p = %.3f", p);
}

std::vector<std::string> Findings(const v1::ExperimentsSummary& summary) {
  std::vector<std::string> findings = {RunsText(summary.runs())};
  if (const v1::GroupSummary* best = Best(summary)) {
    findings.push_back(absl::StrCat("Most accurate is ", GroupText(*best), "."));
    const v1::GroupSummary* smallest = Smallest(summary);
    if (smallest != best) {
      findings.push_back(absl::StrCat("Smallest is ", GroupText(*smallest), "."));
    }
  }
  constexpr int kCompared = 12;
  for (int i = 0; i < summary.comparisons_size() && i < kCompared; ++i) {
    findings.push_back(ComparisonText(summary.comparisons(i)));
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
