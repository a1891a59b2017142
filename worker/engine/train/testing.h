// For tests: small real runs, and what their logs say.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_TESTING_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_TESTING_H_

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/testing/temporary_directory.h"
#include "qsweep/v1/event.pb.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/train/trainer.h"

namespace qsweep::engine {

// vit_mini_patch4_28 from random weights on a little of Fashion-MNIST: nf4, LoRA, dropout and
// augmentation on, 2 epochs of 12 steps of 16 images. JSON in `changes` is merged in.
v1::ExperimentSpec MiniSpec(absl::string_view changes = "{}");

// All events of an attempt; the test fails if there are none.
std::vector<v1::Event> EventsIn(const std::string& directory);

// (name, step) -> value, of the points that a repetition of the run must reproduce: not those of
// time and memory.
using Points = std::map<std::pair<std::string, int64_t>, double>;
Points ReproduciblePoints(const std::vector<v1::Event>& events);

// Of the last `checkpoint` event, as a path; empty if there is none.
std::string LastCheckpoint(const std::string& directory);

// A test of runs in this process, on two threads.
class TrainingTest : public testing::Test {
 protected:
  static void SetUpTestSuite();
  void TearDown() override;  // the next has all memory

  // In directory `name`; stops after `calls` questions whether to, never if negative.
  absl::StatusOr<TrainOutcome> Run(const v1::ExperimentSpec& spec, const std::string& name,
                                   const std::string& resume = "", int calls = -1);
  // The same, to its end.
  std::vector<v1::Event> Finish(const v1::ExperimentSpec& spec, const std::string& name,
                                const std::string& resume = "");
  // Of a file that a run left.
  std::string Bytes(const std::string& name, const std::string& file);

  TemporaryDirectory directory_;
  TrainOptions options_{.threads = 2};
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_TESTING_H_
