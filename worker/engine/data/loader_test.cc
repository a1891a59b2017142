#include "worker/engine/data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>

#include "worker/engine/base/allocator.h"

namespace qsweep::engine {
namespace {

const ModelShape& Mini() { return *FindModel("vit_mini_patch4_28"); }

// Image i is all i, and so is its label.
Dataset Numbered(int64_t size) {
  Dataset dataset{.channels = 1, .height = 8, .width = 8, .classes = size};
  for (int64_t i = 0; i < size; ++i) {
    dataset.labels.push_back(static_cast<int32_t>(i));
    dataset.pixels.insert(dataset.pixels.end(), 64, static_cast<uint8_t>(i));
  }
  return dataset;
}

v1::ExperimentSpec Spec(int batch_size, int64_t seed = 42) {
  v1::ExperimentSpec spec;
  spec.set_seed(seed);
  spec.mutable_dataset()->set_batch_size(batch_size);
  spec.mutable_dataset()->set_image_size(28);
  spec.mutable_dataset()->add_augmentation("padded_crop");
  return spec;
}

TEST(EpochOrder, IsAPermutationOfItsOwnInEveryEpoch) {
  std::vector<int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  const std::vector<int64_t> first = EpochOrder(42, 1, 1000);
  std::vector<int64_t> sorted = first;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, all);
  EXPECT_EQ(EpochOrder(42, 1, 1000), first);
  EXPECT_NE(EpochOrder(42, 2, 1000), first);
  EXPECT_NE(EpochOrder(43, 1, 1000), first);
  EXPECT_EQ(EpochOrder(42, 1, 1), std::vector<int64_t>{0});
  EXPECT_TRUE(EpochOrder(42, 1, 0).empty());
}

TEST(TrainingLoader, EveryImageOnceAnEpochInOrder) {
  const Dataset dataset = Numbered(10);
  TrainingLoader loader(Spec(4), Mini(), dataset, at::kFloat);
  EXPECT_EQ(loader.steps_per_epoch(), 3);
  loader.Seek(0);
  for (int64_t epoch = 1; epoch <= 3; ++epoch) {
    std::vector<int64_t> seen;
    for (int64_t size : {4, 4, 2}) {
      const Batch batch = loader.Next();
      ASSERT_EQ(batch.images.sizes(), (std::vector<int64_t>{size, 3, 28, 28}));
      for (int64_t i = 0; i < size; ++i) {
        const int64_t label = batch.labels[i].item<int64_t>();
        seen.push_back(label);
        // The middle of the image keeps its value wherever the crop lies.
        EXPECT_FLOAT_EQ(batch.images[i][2][14][14].item<float>(), (label / 255.0f - 0.5f) / 0.5f);
      }
    }
    EXPECT_EQ(seen, EpochOrder(42, epoch, 10)) << "epoch " << epoch;
  }
}

TEST(TrainingLoader, SeekGivesTheSameBatchesFromAnyStep) {
  const Dataset dataset = Numbered(10);
  TrainingLoader loader(Spec(4), Mini(), dataset, at::kFloat);
  loader.Seek(0);
  std::vector<Batch> batches;
  for (int step = 0; step < 8; ++step) batches.push_back(loader.Next());
  TrainingLoader resumed(Spec(4), Mini(), dataset, at::kFloat);
  for (int64_t step : {5, 0, 7, 2, 2}) {
    resumed.Seek(step);
    for (int64_t i = step; i < 8; ++i) {
      const Batch batch = resumed.Next();
      EXPECT_TRUE(batch.images.equal(batches[i].images)) << step << " " << i;
      EXPECT_TRUE(batch.labels.equal(batches[i].labels)) << step << " " << i;
    }
  }
}

TEST(TrainingLoader, NarrowImagesAreTheWideOnesRounded) {
  const Dataset dataset = Numbered(10);
  for (const bool mixed : {false, true}) {
    v1::ExperimentSpec spec = Spec(4);
    if (mixed) spec.mutable_dataset()->add_augmentation("mixup");
    spec.mutable_dataset()->set_mixup_alpha(0.8);
    TrainingLoader wide(spec, Mini(), dataset, at::kFloat);
    TrainingLoader narrow(spec, Mini(), dataset, at::kBFloat16);
    wide.Seek(0);
    narrow.Seek(0);
    for (int step = 0; step < 4; ++step) {
      const at::Tensor expected = wide.Next().images.to(at::kBFloat16);
      EXPECT_TRUE(narrow.Next().images.equal(expected)) << mixed << " " << step;
    }
  }
}

TEST(TrainingLoader, ManyDecodersMakeTheSameBatches) {
  const Dataset dataset = Numbered(30);
  TrainingLoader one(Spec(7), Mini(), dataset, at::kFloat);
  at::set_num_threads(16);
  TrainingLoader four(Spec(7), Mini(), dataset, at::kFloat);
  at::set_num_threads(1);
  one.Seek(0);
  four.Seek(0);
  for (int step = 0; step < 6; ++step) {
    const Batch a = one.Next(), b = four.Next();
    EXPECT_TRUE(a.images.equal(b.images));
    EXPECT_TRUE(a.labels.equal(b.labels));
  }
}

TEST(TrainingLoader, MakesAFewBatchesAheadOnKOther) {
  InstallAllocator();
  const Dataset dataset = Numbered(100);
  const int64_t before = CurrentMemory()[Account::kOther];
  TrainingLoader loader(Spec(10), Mini(), dataset, at::kFloat);
  loader.Seek(0);
  const int64_t batch_bytes = 10 * (3 * 28 * 28 * 4 + 8);
  for (int i = 0; i < 500 && CurrentMemory()[Account::kOther] - before < 2 * batch_bytes; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::this_thread::sleep_for(
      std::chrono::milliseconds(50));  // were it not bounded, it would go on
  EXPECT_EQ(CurrentMemory()[Account::kOther] - before, 2 * batch_bytes);
}

TEST(TrainingLoader, OutOfMemoryReachesTheCallerAndTheBatchIsNotLost) {
  InstallAllocator();
  const Dataset dataset = Numbered(10);
  TrainingLoader loader(Spec(4), Mini(), dataset, at::kFloat);
  SetMemoryLimit(CurrentMemory().total_bytes + 1000);
  loader.Seek(0);
  EXPECT_THROW(loader.Next(), OutOfMemory);
  SetMemoryLimit(0);
  // The batch that was begun before may have failed too; after that one the images come in order.
  std::vector<int64_t> seen;
  while (seen.empty()) {
    try {
      const Batch batch = loader.Next();
      for (int64_t i = 0; i < 4; ++i) seen.push_back(batch.labels[i].item<int64_t>());
    } catch (const OutOfMemory&) {
    }
  }
  std::vector<int64_t> expected = EpochOrder(42, 1, 10);
  expected.resize(4);
  EXPECT_EQ(seen, expected);
}

// Before its thread has begun a batch, within one, and with one waiting.
TEST(TrainingLoader, IsDestroyedAtAnyMomentWithoutCrashOrHang) {
  const Dataset dataset = Numbered(50);
  for (int i = 0; i < 50; ++i) {
    TrainingLoader loader(Spec(8), Mini(), dataset, at::kFloat);
    if (i % 3 > 0) loader.Seek(i);
    if (i % 3 < 2) continue;
    const int64_t first = EpochOrder(42, 1 + i / 7, 50)[8 * (i % 7)];  // seven batches an epoch
    EXPECT_EQ(loader.Next().labels[0].item<int64_t>(), first);
  }
}

TEST(EvaluationBatch, IsTheDatasetInOrder) {
  const Dataset dataset = Numbered(10);
  const ImageTransform transform(Mini(), 28, dataset);
  at::set_num_threads(2);
  const Batch batch = EvaluationBatch(transform, dataset, 3, 8);
  at::set_num_threads(1);
  ASSERT_EQ(batch.images.sizes(), (std::vector<int64_t>{5, 3, 28, 28}));
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(batch.labels[i].item<int64_t>(), 3 + i);
    EXPECT_FLOAT_EQ(batch.images[i][0][0][0].item<float>(), ((3 + i) / 255.0f - 0.5f) / 0.5f);
  }
  EXPECT_EQ(EvaluationBatch(transform, dataset, 10, 10).labels.numel(), 0);
}

}  // namespace
}  // namespace qsweep::engine
