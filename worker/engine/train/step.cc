#include "worker/engine/train/step.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/base/threads.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/gradient_stats.h"
#include "worker/engine/train/loss.h"
#include "worker/engine/train/loss_scale.h"
#include "worker/engine/train/pass_sums.h"

namespace qsweep::engine {
namespace {

// Rows that share the packing of a product's weights: 4 images of 197 tokens. Against 2 images this
// gains 4 % of DeiT-tiny's images/s and 2 % of DeiT-small's on two threads, for twice as many
// activations; more images gain nothing.
constexpr int64_t kRowsPerPass = 768;
constexpr int64_t kImagesPerDevicePass = int64_t{1} << 20;  // more than any memory holds

// The lanes of a step of `micro_batch` images at a time: with less than one image for each thread,
// the threads share the work of every operation instead.
int64_t Lanes(const StepShape& shape, int64_t micro_batch) {
  return micro_batch >= shape.lanes ? shape.lanes : 1;
}

int64_t ImagesPerPass(const Vit& model, int64_t rows = kRowsPerPass) {
  return (rows + model.tokens() - 1) / model.tokens();
}

std::vector<at::Tensor> GradientsOf(const AdamW& optimizer) {
  std::vector<at::Tensor> gradients;
  for (const AdamW::Slot& slot : optimizer.slots()) gradients.push_back(slot.gradient);
  return gradients;
}

// What all passes of a step have in common.
struct StepContext {
  int64_t step = 0;
  int64_t batch_size = 0;
  double label_smoothing = 0;
  double loss_scale = 1;
  Checkpointing checkpointing = Checkpointing::kNone;
};

// Adds the gradients of these images, of which the first is the whole batch's `first`th, to `sums`.
// Returns their part of the whole batch's mean loss; both times the loss scale.
double AddPass(const Vit& model, const StepContext& context, const Batch& batch, int64_t first,
               Gradients& sums) {
  double loss = 0;
  const ForwardContext forward{true, context.step, first, context.checkpointing};
  const auto gradient = [&](const at::Tensor& logits) {
    const double scale = context.loss_scale / static_cast<double>(context.batch_size);
    return batch.targets.defined()
               ? MixedCrossEntropyGradient(logits, batch.targets, context.label_smoothing, scale,
                                           &loss)
               : CrossEntropyGradient(logits, batch.labels, context.label_smoothing, scale, &loss);
  };
  model.AddGradients(batch.images, forward, gradient, sums);
  return loss;
}

Batch Part(const Batch& batch, int64_t begin, int64_t end) {
  return {batch.images.slice(0, begin, end), batch.labels.slice(0, begin, end),
          batch.targets.defined() ? batch.targets.slice(0, begin, end) : at::Tensor()};
}

struct Images {
  int64_t begin = 0, end = 0;
};

// The images of each pass of a batch: in rounds of a pass for each lane, with `most` images each,
// or in the last round an equal share of what is left. Smaller passes would even out lanes of
// unequal speed, but cost more than that gains: 5 to 10 % of DeiT-tiny's images/s.
std::vector<Images> Passes(int64_t batch_size, int64_t lanes, int64_t most) {
  std::vector<Images> passes;
  for (int64_t begin = 0; begin < batch_size;) {
    const int64_t images = std::min(most, (batch_size - begin + lanes - 1) / lanes);
    for (int64_t lane = 0; lane < lanes && begin < batch_size; ++lane) {
      passes.push_back({begin, std::min(begin + images, batch_size)});
      begin = passes.back().end;
    }
  }
  return passes;
}

// A single lane adds to the optimizer's gradients straight.
double AddGradients(const Vit& model, const AdamW& optimizer, const Batch& batch,
                    const StepContext& context, int64_t micro_batch) {
  const int64_t lanes = Lanes(ShapeOfSteps(model), micro_batch);
  const std::vector<Images> passes = Passes(context.batch_size, lanes, micro_batch / lanes);
  const auto add = [&](const Images& images, Gradients& sums) {
    return AddPass(model, context, Part(batch, images.begin, images.end), images.begin, sums);
  };
  if (lanes == 1) {
    Gradients sums(GradientsOf(optimizer));
    double loss = 0;
    for (const Images& images : passes) loss += add(images, sums);
    return loss;
  }
  PassSums sums(GradientsOf(optimizer), lanes, static_cast<int64_t>(passes.size()));
  at::parallel_for(0, lanes, 1, [&](int64_t, int64_t) {
    sums.Work([&](int64_t pass, Gradients& zeros) { return add(passes[pass], zeros); });
  });
  return sums.loss();
}

}  // namespace

// Lanes cost copies of the gradients (PassSums::Copies). Where most of the model trains, these
// outweigh what their passes keep.
StepShape ShapeOfSteps(const Vit& model) {
  if (!model.device().is_cpu()) return {.images_per_lane = kImagesPerDevicePass};
  const bool few = 2 * model.trainable_parameters() <= model.total_parameters();
  StepShape shape;
  shape.lanes = few ? at::get_num_threads() : 1;
  shape.images_per_lane =
      ImagesPerPass(model, few ? kRowsPerPass : kRowsPerPass * at::get_num_threads());
  return shape;
}

absl::StatusOr<double> ComputeGradients(const Vit& model, AdamW& optimizer, const Batch& batch,
                                        int64_t step, double label_smoothing, v1::StepPlan* plan) {
  while (true) {
    const StepContext context{step, batch.labels.size(0), label_smoothing, LossScale(*plan),
                              CheckpointingFromName(plan->gradient_checkpointing())};
    optimizer.ZeroGradients();
    try {
      const double loss = AddGradients(model, optimizer, batch, context, plan->micro_batch());
      // A loss that is not finite is no matter of the scale.
      if (!std::isfinite(loss) || TakeOffLossScale(optimizer, plan)) {
        return loss / context.loss_scale;
      }
      continue;
    } catch (const OutOfMemory& error) {
      if (plan->micro_batch() == 1) {
        return Blamed(absl::ResourceExhaustedError(
                          absl::StrCat("step ", step + 1, " on a single image: ", error.what())),
                      v1::BLAME_RESOURCES);
      }
      plan->set_micro_batch((std::min(plan->micro_batch(), context.batch_size) + 1) / 2);
      plan->clear_predicted_peak_bytes();
    }
    ReleaseCached();
  }
}

absl::StatusOr<std::vector<double>> ApplyGradients(Vit& model, AdamW& optimizer, int64_t step,
                                                   double learning_rate, double max_norm) {
  std::vector<double> squares = SquaredGradientNorms(optimizer.slots());
  RETURN_IF_ERROR(CheckGradients(optimizer.slots(), squares, step));
  optimizer.Update(step, learning_rate, ClipFactor(GlobalNorm(squares), max_norm));
  model.Requantize();
  return squares;
}

// One lane is measured, on the threads a lane has: all lanes may be at their peak at once, but need
// not be when one looks. It is the first, which has the optimizer's gradients for its sums.
PeakProbe MakePeakProbe(const Vit& model, AdamW& optimizer, int64_t image_size,
                        int64_t loader_bytes) {
  return [&, image_size, loader_bytes](int64_t micro_batch, Checkpointing checkpointing) {
    const int64_t lanes = Lanes(ShapeOfSteps(model), micro_batch), images = micro_batch / lanes;
    const Batch batch = {at::zeros({images, 3, image_size, image_size}),
                         at::zeros({images}, at::kLong)};
    const StepContext context{0, images, 0, 1, checkpointing};
    const int64_t before = CurrentMemory().total_bytes;
    ResetPeak();
    Gradients sums(GradientsOf(optimizer));
    // All threads are taken, so that this lane's operations have no more than their own.
    at::parallel_for(0, lanes, 1, [&](int64_t lane, int64_t) {
      if (lane == 0) AddPass(model, context, batch, 0, sums);
    });
    const int64_t of_a_lane = CurrentMemory().total_peak_bytes - before;
    optimizer.ZeroGradients();
    const int64_t sums_bytes = model.trainable_parameters() * static_cast<int64_t>(sizeof(float));
    // The probe's own images are among the loader's in training.
    const int64_t more_images =
        model.device().is_cpu() ? loader_bytes - static_cast<int64_t>(batch.images.nbytes()) : 0;
    const int64_t copies = lanes == 1 ? 0 : PassSums::Copies(lanes);
    return before + more_images + lanes * of_a_lane + copies * sums_bytes;
  };
}

at::Tensor Logits(const Vit& model, const at::Tensor& images) {
  const int64_t size = images.size(0);
  if (!model.device().is_cpu()) return model.Forward(images, ForwardContext());
  const int64_t lanes = std::min<int64_t>(at::get_num_threads(), size);
  const int64_t chunk = ImagesPerPass(model);
  std::vector<at::Tensor> parts((size + chunk - 1) / chunk);
  const auto forward = [&](int64_t part) {
    parts[part] = model.Forward(images.slice(0, part * chunk, std::min((part + 1) * chunk, size)),
                                ForwardContext());
  };
  // Who is done with one part takes the next. A single lane's operations have all threads.
  std::atomic<int64_t> next = 0;
  const auto work = [&](int64_t, int64_t) {
    for (int64_t part; (part = next++) < static_cast<int64_t>(parts.size());) forward(part);
  };
  if (lanes == 1) {
    work(0, 1);
  } else {
    at::parallel_for(0, lanes, 1, work);
  }
  return at::cat(parts);
}

}  // namespace qsweep::engine
