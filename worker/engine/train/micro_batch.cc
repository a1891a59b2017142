#include "worker/engine/train/micro_batch.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/train/blame.h"

namespace qsweep::engine {
namespace {

constexpr int64_t kReasonableMicroBatch = 8;
constexpr int64_t kEvaluationBatch = 32;

// The largest multiple of `images` that fits, at most `most`; 0 if not even one does.
int64_t LargestFitting(int64_t images, int64_t most, int64_t limit_bytes,
                       Checkpointing checkpointing, const PeakProbe& probe) {
  const auto fits = [&](int64_t passes) {
    try {
      return probe(passes * images, checkpointing) <= limit_bytes;
    } catch (const OutOfMemory&) {
      ReleaseCached();
      return false;
    }
  };
  const int64_t all = most / images;
  int64_t fitting = 0, too_many = all + 1, next = 1;
  while (too_many - fitting > 1) {
    (fits(next) ? fitting : too_many) = next;
    next = fitting == 1 && too_many > all ? all : (fitting + too_many) / 2;
  }
  return fitting * images;
}

// `lanes` that divide `batch` images among them and have `micro_batch` at a time or fewer, the same
// number in each of as few passes.
int64_t Evened(int64_t batch, int64_t lanes, int64_t micro_batch) {
  const int64_t share = (batch + lanes - 1) / lanes, fitting = micro_batch / lanes;
  const int64_t passes = (share + fitting - 1) / fitting;
  return lanes * ((share + passes - 1) / passes);
}

}  // namespace

Checkpointing CheckpointingFromName(const std::string& name) {
  if (name == "selective") return Checkpointing::kSelective;
  if (name == "full") return Checkpointing::kFull;
  QSWEEP_CHECK(name == "none");
  return Checkpointing::kNone;
}

absl::StatusOr<v1::StepPlan> PlanStep(const v1::ExperimentSpec& spec, const StepShape& shape,
                                      int64_t limit_bytes, const PeakProbe& probe) {
  const int64_t batch = spec.dataset().batch_size();
  const int64_t lanes = batch >= shape.lanes ? shape.lanes : 1;
  const int64_t most = std::min(batch, lanes * shape.images_per_lane);
  const std::string& asked = spec.training().gradient_checkpointing();
  v1::StepPlan plan;
  plan.set_evaluation_batch(kEvaluationBatch);
  plan.set_limit_bytes(limit_bytes);
  if (limit_bytes == 0) {
    plan.set_micro_batch(Evened(batch, lanes, most));
    plan.set_gradient_checkpointing(asked == "auto" ? "none" : asked);
    return plan;
  }
  std::vector<std::string> candidates = {asked};
  if (asked == "auto") candidates = {"none", "selective", "full"};
  const int64_t enough = std::min(most, lanes > 1 ? lanes : kReasonableMicroBatch);
  for (const std::string& candidate : candidates) {
    const Checkpointing checkpointing = CheckpointingFromName(candidate);
    int64_t fitting = LargestFitting(lanes, most, limit_bytes, checkpointing, probe);
    if (fitting == 0 && lanes > 1) {
      fitting = LargestFitting(1, lanes - 1, limit_bytes, checkpointing, probe);
    }
    if (fitting <= plan.micro_batch()) continue;
    plan.set_micro_batch(fitting);
    plan.set_gradient_checkpointing(candidate);
    if (fitting >= enough) break;
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
  plan.set_micro_batch(Evened(batch, plan.micro_batch() >= lanes ? lanes : 1, plan.micro_batch()));
  return plan;
}

}  // namespace qsweep::engine
