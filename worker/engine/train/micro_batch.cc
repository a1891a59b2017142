#include "worker/engine/train/micro_batch.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/train/blame.h"

namespace qsweep::engine {
namespace {

constexpr int64_t kReasonableMicroBatch = 8;
constexpr int64_t kEvaluationBatch = 32;

// What probes measured, each of them once: a pass takes some of the time there is to begin in.
class Peaks {
 public:
  explicit Peaks(const PeakProbe& probe) : probe_(probe) {}

  // Above every limit where there was not enough memory to measure it.
  int64_t Of(int64_t micro_batch, Checkpointing checkpointing) {
    const auto [it, fresh] = measured_.emplace(std::pair(micro_batch, checkpointing), INT64_MAX);
    if (!fresh) return it->second;
    try {
      it->second = probe_(micro_batch, checkpointing);
    } catch (const OutOfMemory&) {
      ReleaseCached();
    }
    return it->second;
  }

 private:
  const PeakProbe& probe_;
  std::map<std::pair<int64_t, Checkpointing>, int64_t> measured_;
};

// The largest multiple of `images` that fits, at most `most`; 0 if not even one does.
int64_t LargestFitting(int64_t images, int64_t most, int64_t limit_bytes,
                       Checkpointing checkpointing, Peaks& peaks) {
  const int64_t all = most / images;
  int64_t fitting = 0, too_many = all + 1, next = 1;
  while (too_many - fitting > 1) {
    (peaks.Of(next * images, checkpointing) <= limit_bytes ? fitting : too_many) = next;
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
  Peaks peaks(probe);
  const int64_t enough = std::min(most, lanes > 1 ? lanes : kReasonableMicroBatch);
  for (const std::string& candidate : candidates) {
    const Checkpointing checkpointing = CheckpointingFromName(candidate);
    int64_t fitting = LargestFitting(lanes, most, limit_bytes, checkpointing, peaks);
    if (fitting == 0 && lanes > 1) {
      fitting = LargestFitting(1, lanes - 1, limit_bytes, checkpointing, peaks);
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
  const int64_t peak =
      peaks.Of(plan.micro_batch(), CheckpointingFromName(plan.gradient_checkpointing()));
  if (peak <= limit_bytes) plan.set_predicted_peak_bytes(peak);
  return plan;
}

}  // namespace qsweep::engine
