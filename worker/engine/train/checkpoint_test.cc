#include "worker/engine/train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/file.h"
#include "common/hash.h"
#include "common/testing/temporary_directory.h"
#include "worker/engine/base/safetensors.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() {
    at::manual_seed(1);
    state_.set_run_key("key");
    state_.set_step(17);
    state_.set_train_seconds(0.1 + 0.2);
    state_.mutable_loss()->set_mean(std::numeric_limits<double>::denorm_min());
    state_.mutable_best()->set_loss(1. / 3);
    for (const AdamW::Slot& slot : optimizer_.slots()) {
      slot.first_moment.normal_();
      slot.second_moment.normal_();
      best_.push_back(at::randn(slot.gradient.sizes()));
    }
  }

  static std::vector<TrainableParameter> Parameters() {
    return {{.name = "a", .value = at::randn({3, 5})}, {.name = "b", .value = at::randn({4})}};
  }

  std::string Write() {
    const auto fact = WriteCheckpoint(directory_.path(), state_, optimizer_.slots(), best_);
    EXPECT_TRUE(fact.ok()) << fact.status();
    EXPECT_EQ(fact->name(), "checkpoint-17.safetensors");
    const std::string path = directory_.Path(fact->name());
    EXPECT_EQ(fact->sha256(), *Sha256HexOfFile(path));
    EXPECT_EQ(fact->bytes(), *FileSize(path));
    return path;
  }

  const TemporaryDirectory directory_;
  v1::TrainerState state_;
  AdamW optimizer_{Parameters(), 0};
  BestValues best_;
};

TEST_F(CheckpointTest, GivesBackEveryBit) {
  const auto checkpoint = ReadCheckpoint(Write(), "key");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->state.SerializeAsString(), state_.SerializeAsString());
  const AdamW other(Parameters(), 0);
  const BestValues best = MakeBestValues(other.slots());
  ASSERT_TRUE(RestoreTensors(*checkpoint, other.slots(), best).ok());
  for (size_t i = 0; i < best_.size(); ++i) {
    const AdamW::Slot &from = optimizer_.slots()[i], &to = other.slots()[i];
    EXPECT_TRUE(to.parameter.value.equal(from.parameter.value));
    EXPECT_TRUE(to.first_moment.equal(from.first_moment));
    EXPECT_TRUE(to.second_moment.equal(from.second_moment));
    EXPECT_TRUE(best[i].equal(best_[i]));
  }
}

TEST_F(CheckpointTest, HasNoBestValuesBeforeTheFirstEvaluation) {
  state_.clear_best();
  const std::string path = Write();
  const auto checkpoint = ReadCheckpoint(path, "key");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(ReadTensorFile(path)->tensors.count("best/a"), 0u);
  EXPECT_TRUE(RestoreTensors(*checkpoint, optimizer_.slots(), best_).ok());
}

TEST_F(CheckpointTest, RefusesAnotherExperiments) {
  const absl::Status status = ReadCheckpoint(Write(), "another").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("another experiment"));
}

TEST_F(CheckpointTest, NoticesEveryFlippedByteAndEveryCut) {
  const std::string path = Write();
  const std::string good = *ReadFile(path, 1 << 20);
  for (size_t i = 0; i < good.size(); i += 7) {
    std::string bad = good;
    bad[i] ^= 4;
    ASSERT_TRUE(WriteFileAtomic(path, bad).ok());
    const auto checkpoint = ReadCheckpoint(path, "key");
    if (!checkpoint.ok()) continue;
    // What the checksum does not cover is the header's own spacing and names; then a tensor is
    // missed.
    EXPECT_FALSE(RestoreTensors(*checkpoint, optimizer_.slots(), best_).ok()) << "byte " << i;
  }
  for (size_t size = 0; size < good.size(); size += 13) {
    ASSERT_TRUE(WriteFileAtomic(path, good.substr(0, size)).ok());
    EXPECT_FALSE(ReadCheckpoint(path, "key").ok()) << "cut at " << size;
  }
}

TEST_F(CheckpointTest, RefusesTensorsOfAnotherModel) {
  const auto checkpoint = ReadCheckpoint(Write(), "key");
  ASSERT_TRUE(checkpoint.ok());
  std::vector<TrainableParameter> parameters = Parameters();
  parameters[1].value = at::zeros({5});
  const AdamW other(parameters, 0);
  const absl::Status status =
      RestoreTensors(*checkpoint, other.slots(), MakeBestValues(other.slots()));
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("/b has another shape"));
}

}  // namespace
}  // namespace qsweep::engine
