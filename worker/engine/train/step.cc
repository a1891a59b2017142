#include "worker/engine/train/step.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/train/blame.h"

namespace qsweep::engine {
namespace {

namespace F = torch::nn::functional;

// Adds the gradients of images [begin, end), of the mean over the whole batch; returns their part
// of that mean.
double AddGradients(Vit& model, const Batch& batch, int64_t begin, int64_t end, int64_t step,
                    double label_smoothing, Checkpointing checkpointing) {
  const AccountScope scope(Account::kActivations);
  ForwardContext context;
  context.training = true;
  context.step = step;
  context.first_sample = begin;
  context.checkpointing = checkpointing;
  const at::Tensor logits = model.Forward(batch.images.slice(0, begin, end), context);
  const auto options =
      F::CrossEntropyFuncOptions().reduction(torch::kSum).label_smoothing(label_smoothing);
  const at::Tensor loss = F::cross_entropy(logits, batch.labels.slice(0, begin, end), options) /
                          static_cast<double>(batch.labels.size(0));
  loss.backward();
  return loss.item<double>();
}

}  // namespace

absl::StatusOr<double> ComputeGradients(Vit& model, AdamW& optimizer, const Batch& batch,
                                        int64_t step, double label_smoothing, v1::StepPlan* plan) {
  const int64_t size = batch.labels.size(0);
  const Checkpointing checkpointing = CheckpointingFromName(plan->gradient_checkpointing());
  while (true) {
    optimizer.ZeroGradients();
    try {
      double loss = 0;
      for (int64_t begin = 0; begin < size; begin += plan->micro_batch()) {
        const int64_t end = std::min(begin + plan->micro_batch(), size);
        loss += AddGradients(model, batch, begin, end, step, label_smoothing, checkpointing);
      }
      return loss;
    } catch (const OutOfMemory& error) {
      if (plan->micro_batch() == 1) {
        return Blamed(absl::ResourceExhaustedError(
                          absl::StrCat("step ", step + 1, " on a single image: ", error.what())),
                      v1::BLAME_RESOURCES);
      }
      plan->set_micro_batch((std::min(plan->micro_batch(), size) + 1) / 2);
    }
    ReleaseCached();
  }
}

PeakProbe MakePeakProbe(Vit& model, AdamW& optimizer, int64_t image_size, int64_t resident_bytes) {
  return [&model, &optimizer, image_size, resident_bytes](int64_t micro_batch,
                                                          Checkpointing checkpointing) {
    const Batch batch = {at::zeros({micro_batch, 3, image_size, image_size}),
                         at::zeros({micro_batch}, at::kLong)};
    ResetPeak();
    optimizer.ZeroGradients();
    AddGradients(model, batch, 0, micro_batch, 0, 0, checkpointing);
    optimizer.ZeroGradients();
    // The probe's own images are part of what is resident in training.
    return CurrentMemory().total_peak_bytes - static_cast<int64_t>(batch.images.nbytes()) +
           resident_bytes;
  };
}

}  // namespace qsweep::engine
