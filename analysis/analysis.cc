#include "analysis/analysis.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "analysis/comparison.h"
#include "analysis/details.h"
#include "analysis/expectations.h"
#include "analysis/findings.h"
#include "analysis/literature.h"
#include "analysis/pareto.h"
#include "common/state_names.h"
#include "common/version.h"

namespace qsweep {
namespace {

void CountRun(const v1::Run& run, v1::RunCounts* counts) {
  switch (run.state()) {
    case v1::RUN_STATE_RUNNING:
      return counts->set_running(counts->running() + 1);
    case v1::RUN_STATE_SUCCEEDED:
      if (run.reused_run_id() != 0) counts->set_reused(counts->reused() + 1);
      return counts->set_succeeded(counts->succeeded() + 1);
    case v1::RUN_STATE_FAILED:
      return counts->set_failed(counts->failed() + 1);
    case v1::RUN_STATE_CANCELLED:
      return counts->set_cancelled(counts->cancelled() + 1);
    default:
      return counts->set_pending(counts->pending() + 1);
  }
}

template <typename From, typename To>
void CopyAll(const From& from, To* to) {
  for (const auto& message : from) *to->Add() = message;
}

void FillSummary(Analysis* analysis) {
  v1::ExperimentsSummary& summary = analysis->summary;
  summary.set_sweep(analysis->sweep.name());
  summary.set_sweep_id(analysis->sweep.id());
  summary.set_qsweep_version(kVersion);
  summary.mutable_runs();
  for (const RunFacts& run : analysis->runs) {
    CountRun(run.run, summary.mutable_runs());
    if (run.result.has_value()) continue;
    v1::RunFailure& missing = *summary.add_missing();
    missing.set_run(run.run.name());
    missing.set_error(run.run.error().empty()
                          ? StateName(run.run.state())
                          : absl::StrCat(StateName(run.run.state()), ": ", run.run.error()));
  }
  for (const Group& group : analysis->groups) *summary.add_groups() = group.summary;
  CopyAll(CompareWithUnquantized(analysis->runs, analysis->twins, Pooling::kOverAdapters),
          summary.mutable_comparisons());
  CopyAll(JudgeExpectations(analysis->runs, analysis->twins, analysis->groups),
          summary.mutable_expectations());
  for (std::string& finding : Findings(summary)) summary.add_findings(std::move(finding));
}

void FillDetails(Analysis* analysis) {
  v1::DetailedAnalysis& details = analysis->details;
  details.set_sweep(analysis->sweep.name());
  details.set_sweep_id(analysis->sweep.id());
  CopyAll(CompareWithUnquantized(analysis->runs, analysis->twins, Pooling::kByAdapter),
          details.mutable_comparisons_by_adapter());
  CopyAll(ParetoFronts(analysis->runs, analysis->groups, MemoryKind::kWeights),
          details.mutable_pareto());
  CopyAll(ParetoFronts(analysis->runs, analysis->groups, MemoryKind::kPeak),
          details.mutable_pareto());
  CopyAll(QuantizationEffects(analysis->runs, analysis->twins), details.mutable_effects());
  CopyAll(LayerSensitivities(analysis->runs), details.mutable_layers());
  CopyAll(BlockGradients(analysis->runs), details.mutable_gradients());
  CopyAll(PublishedFigures().figures(), details.mutable_literature());
}

}  // namespace

Analysis Analyze(const v1::Sweep& sweep, std::vector<RunFacts> runs) {
  Analysis analysis{.sweep = sweep, .runs = std::move(runs)};
  analysis.twins = UnquantizedTwins(analysis.runs);
  analysis.groups = GroupBySeed(analysis.runs);
  FillSummary(&analysis);
  FillDetails(&analysis);
  return analysis;
}

}  // namespace qsweep
