#include "worker/engine/train/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "common/file.h"
#include "common/testing/file_tree.h"

namespace qsweep::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kTiny[] = "deit_tiny_patch16_224";

class WeightsTest : public FileTreeTest {
 protected:
  WeightsTest() {
    ::unsetenv("HF_HUB_CACHE");
    ::setenv("HF_HOME", (root_ + "/hf").c_str(), 1);
    model_.set_name(kTiny);
    model_.set_pretrained(true);
  }

  std::string Touch(const std::string& path) {
    Write(path, "x");
    return JoinPath(root_, path);
  }
  absl::StatusOr<std::string> Find(const std::string& given = "") {
    return FindWeights(model_, root_ + "/models", given);
  }

  v1::Model model_;
};

TEST_F(WeightsTest, SaysWhereItLooked) {
  const absl::Status status = Find().status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(root_ + "/models/deit_tiny_patch16_224/model.safetensors"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(root_ + "/hf/hub"));
}

TEST_F(WeightsTest, TakesTheRevisionThatMainNames) {
  const std::string repository = "hf/hub/models--timm--deit_tiny_patch16_224.fb_in1k/";
  const std::string old = Touch(repository + "snapshots/aaa/model.safetensors");
  EXPECT_EQ(*Find(), old);
  const std::string current = Touch(repository + "snapshots/bbb/model.safetensors");
  const std::string main = Touch(repository + "refs/main");
  ASSERT_TRUE(WriteFileAtomic(main, "bbb\n").ok());
  EXPECT_EQ(*Find(), current);
  EXPECT_THAT(ModelsPresent(root_ + "/models"), ElementsAre(kTiny));
}

TEST_F(WeightsTest, ANameThatOnlyBeginsTheSameIsAnotherModel) {
  Touch("hf/hub/models--timm--deit_tiny_patch16_224_distilled/snapshots/aaa/model.safetensors");
  EXPECT_TRUE(absl::IsNotFound(Find().status()));
}

TEST_F(WeightsTest, TheNearerPlaceWins) {
  Touch("hf/hub/models--timm--deit_tiny_patch16_224/snapshots/aaa/model.safetensors");
  const std::string in_root = Touch("models/deit_tiny_patch16_224/model.safetensors");
  EXPECT_EQ(*Find(), in_root);
  model_.set_weights(Touch("named.safetensors"));
  EXPECT_EQ(*Find(), model_.weights());
  const std::string given = Touch("given.safetensors");
  EXPECT_EQ(*Find(given), given);
  EXPECT_TRUE(absl::IsNotFound(Find(root_ + "/absent").status()));
}

// Another machine may have it, so it must not be taken for the spec's fault.
TEST_F(WeightsTest, AFileThatTheSpecNamesIsMissingOnThisMachine) {
  model_.set_weights(root_ + "/absent.safetensors");
  const absl::Status status = Find().status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(model_.weights()));
}

TEST_F(WeightsTest, RandomInitialisationNeedsNone) {
  model_.set_pretrained(false);
  EXPECT_EQ(*Find(), "");
}

TEST_F(WeightsTest, WhatAnotherRunProducedMustBeGiven) {
  model_.set_weights("run:" + std::string(64, 'a'));
  EXPECT_TRUE(absl::IsInvalidArgument(Find().status()));
}

}  // namespace
}  // namespace qsweep::engine
