#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <vector>

#include "common/clock.h"
#include "common/proc.h"
#include "common/proto_json.h"
#include "common/spec/datasets.h"
#include "common/spec/models.h"
#include "common/spec/pairs.h"
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
#include "worker/engine/train/memory_account.h"
#include "worker/engine/train/process.h"
#include "worker/engine/train/schedule.h"
#include "worker/engine/train/setup.h"
#include "worker/engine/train/step.h"

namespace qsweep::engine {
namespace {

// Steps that are not timed: the first ones fill caches.
constexpr int64_t kWarmUpSteps = 2;

struct Options {
  std::string spec_file;
  std::string weights_file;  // empty: random initialisation
  std::string data_root;     // empty: the dataset's own images are not timed
  int64_t steps = 10;
  int threads = 0;  // 0: all cores
  int64_t memory_limit_bytes = 0;
  std::string device = "cpu";
};

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

// As in training, but for the loader, the statistics and the events.
absl::Status Step(const v1::Training& training, Trainee& trainee, const Batch& batch, int64_t step,
                  v1::StepPlan* plan) {
  Vit& model = *trainee.model;
  AdamW& optimizer = *trainee.optimizer;
  RETURN_IF_ERROR(
      ComputeGradients(model, optimizer, batch, step, training.label_smoothing(), plan).status());
  return ApplyGradients(model, optimizer, step + 1, LearningRate(training, step, step + 1000),
                        training.max_grad_norm())
      .status();
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

void Describe(const v1::ExperimentSpec& spec, const ComputeType& compute, v1::BenchReport* report) {
  report->set_device(ComputeDeviceName());
  report->set_batch_size(spec.dataset().batch_size());
  report->set_compute_dtype_asked(compute.asked);
  report->set_compute_dtype_used(compute.used);
  report->set_model(spec.model().name());
  report->set_quantization(QuantizationLabel(spec.quantization()));
  report->set_cpu(CpuModel());
  report->set_version(kVersion);
  report->set_torch_version(TORCH_VERSION);
}

// What `steps` steps of the batch take of time and memory.
absl::Status TimeSteps(const v1::Training& training, Trainee& trainee, const Batch& batch,
                       int64_t steps, v1::StepPlan plan, v1::BenchReport* report) {
  const int64_t rss_before = ResidentBytes(), held_before = CurrentMemory().held_bytes;
  ResetPeak();
  ASSIGN_OR_RETURN(const double seconds, MedianSeconds(steps, [&](int64_t step) {
                     return Step(training, trainee, batch, step, &plan);
                   }));
  const int64_t images = batch.labels.size(0);
  report->set_images_per_s(static_cast<double>(images) / seconds);
  report->set_step_ms(1e3 * seconds);
  report->set_steps(steps);
  report->set_micro_batch(plan.micro_batch());
  report->set_rss_before_mb(Megabytes(rss_before));
  report->set_rss_peak_mb(Megabytes(PeakResidentBytes()));
  v1::MemoryAccount& memory = *report->mutable_memory();
  memory = CurrentMemoryAccount(images, plan);
  memory.set_rss_before_bytes(rss_before);
  memory.set_held_before_bytes(held_before);
  return absl::OkStatus();
}

absl::StatusOr<v1::BenchReport> Bench(const Options& options) {
  ASSIGN_OR_RETURN(const v1::ExperimentSpec spec, LoadSpec(options.spec_file));
  if (spec.training().method() == "sensitivity") {
    return absl::InvalidArgumentError("training.method: sensitivity takes no steps to time");
  }
  RETURN_IF_ERROR(CheckBitsChosen(spec));
  RETURN_IF_ERROR(UseDevice(options.device));
  v1::BenchReport report;
  report.set_threads(ConfigureThreads(options.threads));
  const ComputeType compute = ChooseComputeType(spec);
  Describe(spec, compute, &report);
  const int64_t limit = ComputeDevice().is_cpu() ? options.memory_limit_bytes
                                                 : MemoryLimit(options.memory_limit_bytes);
  RETURN_IF_ERROR(LimitTensors(limit, 0));
  ASSIGN_OR_RETURN(Trainee trainee,
                   MakeTrainee(spec, compute, Classes(spec.dataset()), options.weights_file));
  report.set_bits_per_weight(trainee.model->quantization().bits_per_weight());
  ASSIGN_OR_RETURN(const v1::StepPlan plan, MakePlan(spec, trainee, compute.type, limit, 0));
  const Batch batch = RandomBatch(spec, compute.type);
  RETURN_IF_ERROR(TimeSteps(spec.training(), trainee, batch, options.steps, plan, &report));
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

absl::Status PrintBench(const Options& options) {
  ASSIGN_OR_RETURN(const v1::BenchReport report, Bench(options));
  std::puts(ToJson(report, JsonStyle::kPrettyWithDefaults).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddBench(Command program, Action* action) {
  const auto o = std::make_shared<Options>();
  Command command = program.AddCommand("bench", "Time training steps on random images",
                                       [o, action] { *action = [o] { return PrintBench(*o); }; });
  AddSpec(command, &o->spec_file);
  command.AddOption("--steps", &o->steps, "timed steps").Between(int64_t{1}, int64_t{1000000});
  AddThreads(command, &o->threads);
  AddMemoryLimit(command, &o->memory_limit_bytes);
  AddDevice(command, &o->device);
  command.AddOption("--weights", &o->weights_file, "safetensors file; default: random");
  command.AddOption("--data-root", &o->data_root, "time the making of the dataset's images, too");
}

}  // namespace qsweep::engine
