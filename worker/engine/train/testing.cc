#include "worker/engine/train/testing.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "common/attempt_dir.h"
#include "common/event_log.h"
#include "common/file.h"
#include "common/proto_json.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/train/reporter.h"
#include "worker/engine/train/sensitivity.h"

namespace qsweep::engine {
namespace {

constexpr char kMini[] = R"({
  "model": {"name": "vit_mini_patch4_28", "pretrained": false},
  "dataset": {"name": "fashion_mnist", "batch_size": 16, "train_limit": 190, "eval_limit": 100,
              "augmentation": ["horizontal_flip", "padded_crop"]},
  "lora": {"rank": 4, "dropout": 0.1},
  "quantization": {"bits": 4, "quant_type": "nf4", "double_quant": true},
  "training": {"learning_rate": 0.003, "num_epochs": 2, "warmup_steps": 3, "label_smoothing": 0.1,
               "checkpoint_interval": 5, "log_interval": 4}
})";

}  // namespace

v1::ExperimentSpec MiniSpec(absl::string_view changes) {
  v1::ExperimentSpec spec, changed;
  QSWEEP_CHECK(FromJson(kMini, &spec).ok());
  const absl::Status parsed = FromJson(changes, &changed);
  EXPECT_TRUE(parsed.ok()) << parsed;
  spec.MergeFrom(changed);
  const absl::StatusOr<v1::ExperimentSpec> complete = CompleteSpec(spec);
  EXPECT_TRUE(complete.ok()) << complete.status();
  return complete.value_or(v1::ExperimentSpec());
}

std::vector<v1::Event> EventsIn(const std::string& directory) {
  const auto chunk = ReadEventLog(JoinPath(directory, kEventsFile), 0, int64_t{64} << 20);
  EXPECT_TRUE(chunk.ok()) << chunk.status();
  if (!chunk.ok()) return {};
  EXPECT_FALSE(chunk->events.empty());
  return chunk->events;
}

Points ReproduciblePoints(const std::vector<v1::Event>& events) {
  Points points;
  for (const v1::Event& event : events) {
    for (const v1::Point& point : event.metrics().points()) {
      if (point.name() == "images_per_s" || absl::StartsWith(point.name(), "memory/")) continue;
      points[{point.name(), event.metrics().step()}] = point.value();
    }
  }
  return points;
}

std::string LastCheckpoint(const std::string& directory) {
  std::string path;
  for (const v1::Event& event : EventsIn(directory)) {
    if (event.has_checkpoint()) path = JoinPath(directory, event.checkpoint().file().name());
  }
  return path;
}

void TrainingTest::SetUpTestSuite() { InstallAllocator(); }
void TrainingTest::TearDown() { SetMemoryLimit(0); }

absl::StatusOr<TrainOutcome> TrainingTest::Run(const v1::ExperimentSpec& spec,
                                               const std::string& name, const std::string& resume,
                                               int calls) {
  options_.directory = directory_.Sub(name);
  options_.resume_file = resume;
  absl::StatusOr<Reporter> reporter = Reporter::Create(options_.directory);
  EXPECT_TRUE(reporter.ok()) << reporter.status();
  int asked = 0;
  const auto stop = [&] { return calls >= 0 && asked++ >= calls; };
  return spec.training().method() == "sensitivity" ? RunSensitivity(spec, options_, stop, *reporter)
                                                   : Train(spec, options_, stop, *reporter);
}

std::vector<v1::Event> TrainingTest::Finish(const v1::ExperimentSpec& spec, const std::string& name,
                                            const std::string& resume) {
  const absl::StatusOr<TrainOutcome> outcome = Run(spec, name, resume);
  EXPECT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome.value_or(TrainOutcome::kStopped), TrainOutcome::kFinished);
  std::vector<v1::Event> events = EventsIn(options_.directory);
  EXPECT_TRUE(!events.empty() && events.back().has_finished());
  return events;
}

std::string TrainingTest::Bytes(const std::string& name, const std::string& file) {
  return ReadFile(JoinPath(directory_.Sub(name), file), 1 << 24).value_or("");
}

}  // namespace qsweep::engine
