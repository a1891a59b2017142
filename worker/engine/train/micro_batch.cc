#include "worker/engine/train/micro_batch.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/train/blame.h"

namespace qsweep::engine {
namespace {

constexpr int64_t kUnlimitedMicroBatch = 32;
constexpr int64_t kReasonableMicroBatch = 8;
constexpr int64_t kEvaluationBatch = 64;

// How many images fit: 0 if not even one does.
int64_t LargestFitting(int64_t limit_bytes, Checkpointing checkpointing, const PeakProbe& probe) {
  int64_t fitting = 0;
  try {
    const int64_t one = probe(1, checkpointing);
    if (one > limit_bytes) return 0;
    fitting = 1;
    const int64_t two = probe(2, checkpointing);
    if (two > limit_bytes) return 1;
    return 2 + (limit_bytes - two) / std::max<int64_t>(two - one, 1);
  } catch (const OutOfMemory&) {
    return fitting;
  }
}

// `fitting` images or fewer, the same number in each of as few accumulation steps.
int64_t Evened(int64_t batch, int64_t fitting) {
  const int64_t steps = (batch + fitting - 1) / fitting;
  return (batch + steps - 1) / steps;
}

}  // namespace

Checkpointing CheckpointingFromName(const std::string& name) {
  if (name == "selective") return Checkpointing::kSelective;
  if (name == "full") return Checkpointing::kFull;
  QSWEEP_CHECK(name == "none");
  return Checkpointing::kNone;
}

absl::StatusOr<v1::StepPlan> PlanStep(const v1::ExperimentSpec& spec, int64_t limit_bytes,
                                      const PeakProbe& probe) {
  const int64_t batch = spec.dataset().batch_size();
  const std::string& asked = spec.training().gradient_checkpointing();
  v1::StepPlan plan;
  plan.set_evaluation_batch(kEvaluationBatch);
  plan.set_limit_bytes(limit_bytes);
  if (limit_bytes == 0) {
    plan.set_micro_batch(Evened(batch, kUnlimitedMicroBatch));
    plan.set_gradient_checkpointing(asked == "auto" ? "none" : asked);
    return plan;
  }
  std::vector<std::string> candidates = {asked};
  if (asked == "auto") candidates = {"none", "selective", "full"};
  for (const std::string& candidate : candidates) {
    const int64_t fitting =
        std::min(batch, LargestFitting(limit_bytes, CheckpointingFromName(candidate), probe));
    if (fitting <= plan.micro_batch()) continue;
    plan.set_micro_batch(fitting);
    plan.set_gradient_checkpointing(candidate);
    if (fitting >= std::min(batch, kReasonableMicroBatch)) break;
  }
  if (plan.micro_batch() == 0) {
    return Blamed(absl::ResourceExhaustedError(absl::StrCat(
                      "a step on a single image needs more memory than the tensors' limit of ",
                      limit_bytes, " bytes",
                      asked == "auto" || asked == "full"
                          ? ""
                          : "; training.gradient_checkpointing: auto needs less")),
                  v1::BLAME_RESOURCES);
  }
  plan.set_micro_batch(Evened(batch, plan.micro_batch()));
  return plan;
}

}  // namespace qsweep::engine
