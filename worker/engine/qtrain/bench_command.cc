#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <vector>

#include "common/attempt_dir.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/proto_json.h"
#include "common/spec/datasets.h"
#include "common/spec/models.h"
#include "common/spec/pairs.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/version.h"
#include "qsweep/v1/trainer.pb.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/base/cpu.h"
#include "worker/engine/base/device.h"
#include "worker/engine/base/random.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/data/image_transform.h"
#include "worker/engine/qtrain/commands.h"
#include "worker/engine/qtrain/spec_options.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/gradient_stats.h"
#include "worker/engine/train/memory_account.h"
#include "worker/engine/train/process.h"
#include "worker/engine/train/schedule.h"
#include "worker/engine/train/setup.h"
#include "worker/engine/train/step.h"

namespace qsweep::engine {
namespace {

// Steps that are not timed: the first ones fill caches.
constexpr int64_t kWarmUpSteps = 2;

double Megabytes(int64_t bytes) { return static_cast<double>(bytes) / 1e6; }

int64_t Classes(const v1::Dataset& dataset) {
  if (dataset.classes_size() > 0) return dataset.classes_size();
  const DatasetShape* known = FindDataset(dataset.name());
  return known != nullptr ? known->classes
                          : 1000;  // an imagefolder's are not known before it is seen
}

Batch RandomBatch(const v1::ExperimentSpec& spec, at::ScalarType type) {
  const int64_t batch = spec.dataset().batch_size(), side = spec.dataset().image_size();
  Batch random = {at::empty({batch, 3, side, side}), at::empty({batch}, at::kLong)};
  RandomStream stream(MakeKey(spec.seed(), Purpose::kBenchmark), 0, 0);
  float* pixels = random.images.data_ptr<float>();
  for (int64_t i = 0; i < random.images.numel(); ++i) pixels[i] = 4 * stream.NextFloat() - 2;
  int64_t* labels = random.labels.data_ptr<int64_t>();
  const auto classes = static_cast<uint32_t>(Classes(spec.dataset()));
  for (int64_t i = 0; i < batch; ++i) labels[i] = stream.NextBelow(classes);
  random.images = random.images.to(type);
  return random;
}

// Exactly what a training step does, but for the loader and the events.
absl::Status Step(const v1::ExperimentSpec& spec, Trainee& trainee, const Batch& batch,
                  int64_t step, v1::StepPlan* plan) {
  const v1::Training& training = spec.training();
  AdamW& optimizer = *trainee.optimizer;
  RETURN_IF_ERROR(
      ComputeGradients(*trainee.model, optimizer, batch, step, training.label_smoothing(), plan)
          .status());
  const std::vector<double> squares = SquaredGradientNorms(optimizer.slots());
  RETURN_IF_ERROR(CheckGradients(optimizer.slots(), squares, step + 1));
  optimizer.Update(step + 1, LearningRate(training, step, step + 1000),
                   ClipFactor(GlobalNorm(squares), training.max_grad_norm()));
  trainee.model->Requantize();
  return absl::OkStatus();
}

// Of `steps` calls, after some that are not timed.
absl::StatusOr<double> MedianSeconds(int64_t steps,
                                     const std::function<absl::Status(int64_t)>& work) {
  std::vector<double> seconds;
  for (int64_t step = 0; step < kWarmUpSteps + steps; ++step) {
    const absl::Duration begin = SystemClock().Monotonic();
    RETURN_IF_ERROR(work(step));
    if (step < kWarmUpSteps) continue;
    seconds.push_back(absl::ToDoubleSeconds(SystemClock().Monotonic() - begin));
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

// Images a second, as the loader makes them, by this thread alone: two seconds of them.
absl::StatusOr<double> DataRate(const v1::ExperimentSpec& spec, const std::string& data_root) {
  ASSIGN_OR_RETURN(const Dataset data, LoadDataset(spec.dataset(), data_root, Split::kTrain));
  if (data.size() == 0) return absl::InvalidArgumentError("the dataset has no image to train on");
  const int64_t side = spec.dataset().image_size();
  const ImageTransform transform(*FindModel(spec.model().name()), side, data);
  std::vector<float> image(3 * side * side);
  const absl::Duration begin = SystemClock().Monotonic();
  absl::Duration taken;
  int64_t made = 0;
  for (; taken < absl::Seconds(2); ++made) {
    transform.Training(made % data.size(), spec.dataset(), spec.seed(), 1, image.data());
    taken = SystemClock().Monotonic() - begin;
  }
  return static_cast<double>(made) / absl::ToDoubleSeconds(taken);
}

absl::StatusOr<v1::BenchReport> Bench(const BenchOptions& options) {
  ASSIGN_OR_RETURN(const std::string json, ReadFile(options.spec_file, kMaxSpecBytes));
  const absl::StatusOr<v1::ExperimentSpec> parsed = ParseSpecJson(json);
  if (!parsed.ok()) return Annotate(parsed.status(), options.spec_file);
  const v1::ExperimentSpec& spec = *parsed;
  if (spec.training().method() == "sensitivity") {
    return absl::InvalidArgumentError("training.method: sensitivity takes no steps to time");
  }
  RETURN_IF_ERROR(CheckBitsChosen(spec));
  v1::BenchReport report;
  RETURN_IF_ERROR(UseDevice(options.device));
  report.set_device(ComputeDeviceName());
  report.set_threads(ConfigureThreads(options.threads));
  const ComputeType compute = ChooseComputeType(spec);
  const int64_t limit = ComputeDevice().is_cpu() ? options.memory_limit_bytes
                                                 : MemoryLimit(options.memory_limit_bytes);
  RETURN_IF_ERROR(LimitTensors(limit, 0));
  ASSIGN_OR_RETURN(Trainee trainee,
                   MakeTrainee(spec, compute, Classes(spec.dataset()), options.weights_file));
  ASSIGN_OR_RETURN(v1::StepPlan plan, MakePlan(spec, trainee, compute.type, limit, 0));
  const Batch batch = RandomBatch(spec, compute.type);
  const int64_t rss_before = ResidentBytes(), held_before = CurrentMemory().held_bytes;
  ResetPeak();
  ASSIGN_OR_RETURN(const double step_seconds, MedianSeconds(options.steps, [&](int64_t step) {
                     return Step(spec, trainee, batch, step, &plan);
                   }));
  report.set_images_per_s(spec.dataset().batch_size() / step_seconds);
  report.set_step_ms(1e3 * step_seconds);
  report.set_steps(options.steps);
  report.set_batch_size(spec.dataset().batch_size());
  report.set_micro_batch(plan.micro_batch());
  report.set_rss_before_mb(Megabytes(rss_before));
  report.set_rss_peak_mb(Megabytes(PeakResidentBytes()));
  *report.mutable_memory() = CurrentMemoryAccount(spec, plan);
  report.mutable_memory()->set_rss_before_bytes(rss_before);
  report.mutable_memory()->set_held_before_bytes(held_before);
  report.set_compute_dtype_asked(compute.asked);
  report.set_compute_dtype_used(compute.used);
  report.set_model(spec.model().name());
  report.set_quantization(QuantizationLabel(spec.quantization()));
  report.set_bits_per_weight(trainee.model->quantization().bits_per_weight());
  report.set_cpu(CpuModel());
  report.set_version(kVersion);
  report.set_torch_version(TORCH_VERSION);
  ASSIGN_OR_RETURN(const double forward_seconds, MedianSeconds(options.steps, [&](int64_t) {
                     Logits(*trainee.model, batch.images);
                     return absl::OkStatus();
                   }));
  report.set_forward_images_per_s(spec.dataset().batch_size() / forward_seconds);
  if (!options.data_root.empty()) {
    ASSIGN_OR_RETURN(const double rate, DataRate(spec, options.data_root));
    report.set_data_images_per_s(rate);
  }
  return report;
}

}  // namespace

int BenchCommand(const BenchOptions& options) {
  absl::StatusOr<v1::BenchReport> report = v1::BenchReport();
  const absl::Status status = CatchExceptions([&]() -> absl::Status {
    report = Bench(options);
    return report.status();
  });
  if (!status.ok()) {
    std::fprintf(stderr, "qtrain: %s\n", std::string(status.message()).c_str());
    return kExitFailed;
  }
  std::puts(ToJson(*report, JsonStyle::kPrettyWithDefaults).c_str());
  return kExitFinished;
}

}  // namespace qsweep::engine
