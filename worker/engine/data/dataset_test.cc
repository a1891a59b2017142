#include "worker/engine/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>

#include "common/file.h"
#include "common/testing/temporary_directory.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

constexpr char kAssets[] = QSWEEP_SOURCE_DIR "/../shared/assets";

v1::Dataset Spec(const std::string& name, std::vector<int> classes = {}, int64_t limit = 0) {
  v1::Dataset spec;
  spec.set_name(name);
  spec.set_train_limit(limit);
  spec.set_eval_limit(limit);
  for (int label : classes) spec.add_classes(label);
  return spec;
}

// --- Real data.

TEST(FashionMnist, IsAllThere) {
  if (!PathExists("/usr/share/datasets/fashion-mnist"))
    GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  for (const auto& [split, size] :
       {std::pair(Split::kTrain, 60000), std::pair(Split::kTest, 10000)}) {
    const auto dataset = LoadDataset(Spec("fashion_mnist"), "/nowhere", split);
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ(dataset->size(), size);
    EXPECT_EQ(dataset->channels, 1);
    EXPECT_EQ(dataset->height, 28);
    EXPECT_EQ(dataset->width, 28);
    EXPECT_EQ(dataset->classes, 10);
    EXPECT_EQ(dataset->pixels.size(), static_cast<size_t>(size) * 784);
    for (int label = 0; label < 10; ++label) {
      EXPECT_EQ(std::count(dataset->labels.begin(), dataset->labels.end(), label), size / 10);
    }
  }
  // The first labels of the training set, as its README's images show: ankle boot, T-shirt,
  // T-shirt.
  const auto first = LoadDataset(Spec("fashion_mnist", {}, 3), "/nowhere", Split::kTrain);
  EXPECT_THAT(first->labels, testing::ElementsAre(9, 0, 0));
}

TEST(FashionMnist, ClassesAreChosenRenumberedAndLimited) {
  if (!PathExists("/usr/share/datasets/fashion-mnist"))
    GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  const auto all = LoadDataset(Spec("fashion_mnist"), "/nowhere", Split::kTest);
  const auto some = LoadDataset(Spec("fashion_mnist", {7, 2}, 50), "/nowhere", Split::kTest);
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ(some->classes, 2);
  ASSERT_EQ(some->size(), 50);
  int64_t at = 0;
  for (int64_t i = 0; i < all->size() && at < 50; ++i) {
    if (all->labels[i] != 7 && all->labels[i] != 2) continue;
    EXPECT_EQ(some->labels[at], all->labels[i] == 7 ? 0 : 1);
    EXPECT_TRUE(std::equal(all->pixels.begin() + i * 784, all->pixels.begin() + (i + 1) * 784,
                           some->pixels.begin() + at * 784));
    ++at;
  }
}

TEST(Cifar, RealSubsets) {
  if (!PathExists(kAssets)) GTEST_SKIP() << kAssets << " is not there";
  const auto ten = LoadDataset(Spec("cifar10"), kAssets, Split::kTrain);
  ASSERT_TRUE(ten.ok()) << ten.status();
  EXPECT_EQ(ten->size(), 8336);
  EXPECT_EQ(ten->classes, 10);
  const auto hundred = LoadDataset(Spec("cifar100"), kAssets, Split::kTest);
  ASSERT_TRUE(hundred.ok()) << hundred.status();
  EXPECT_EQ(hundred->size(), 916);
  EXPECT_EQ(hundred->classes, 100);
  EXPECT_GT(*std::max_element(hundred->labels.begin(), hundred->labels.end()), 19)
      << "fine, not coarse, labels";
  EXPECT_THAT(DatasetsPresent(kAssets), testing::IsSupersetOf({"cifar10", "cifar100"}));
}

// --- Files made here.

class MadeFiles : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* directory : {"cifar-10-batches-bin", "cifar-100-binary", "fashion-mnist"}) {
      directory_.Sub(directory);
    }
  }

  void Put(const std::string& name, const std::string& bytes) {
    ASSERT_TRUE(WriteFileAtomic(JoinPath(root_, name), bytes).ok());
  }
  void PutGzip(const std::string& name, const std::string& bytes) {
    gzFile file = gzopen(JoinPath(root_, name).c_str(), "wb");
    ASSERT_EQ(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())),
              static_cast<int>(bytes.size()));
    ASSERT_EQ(gzclose(file), Z_OK);
  }
  // Beside those of the training split: only where all four are is the directory looked at.
  void PutOtherIdxFiles() {
    Put("fashion-mnist/t10k-images-idx3-ubyte.gz", "");
    Put("fashion-mnist/t10k-labels-idx1-ubyte.gz", "");
  }
  // Loads and expects an error that says all of `parts`.
  void ExpectError(const std::string& dataset, Split split, absl::StatusCode code,
                   const std::vector<std::string>& parts) {
    const absl::Status status = LoadDataset(Spec(dataset), root_, split).status();
    EXPECT_EQ(status.code(), code) << status;
    for (const std::string& part : parts)
      EXPECT_THAT(std::string(status.message()), HasSubstr(part));
  }

  static std::string Record(std::initializer_list<int> labels, char pixel) {
    std::string record;
    for (int label : labels) record.push_back(static_cast<char>(label));
    return record + std::string(3072, pixel);
  }
  static std::string Idx(std::initializer_list<uint32_t> shape, const std::string& elements) {
    std::string bytes = {0, 0, 8, static_cast<char>(shape.size())};
    for (uint32_t size : shape) {
      for (int shift = 24; shift >= 0; shift -= 8)
        bytes.push_back(static_cast<char>(size >> shift));
    }
    return bytes + elements;
  }

  const TemporaryDirectory directory_;
  const std::string root_ = directory_.path();
};

TEST_F(MadeFiles, Cifar10BatchesFollowEachOther) {
  Put("cifar-10-batches-bin/data_batch_1.bin", Record({3}, 'a') + Record({9}, 'b'));
  Put("cifar-10-batches-bin/data_batch_2.bin", Record({0}, 'c'));
  const auto dataset = LoadDataset(Spec("cifar10"), root_, Split::kTrain);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT(dataset->labels, testing::ElementsAre(3, 9, 0));
  EXPECT_EQ(dataset->pixels[3072], 'b');
  EXPECT_EQ(dataset->pixels.back(), 'c');
  EXPECT_THAT(DatasetsPresent(root_), testing::Not(testing::Contains("cifar10")));  // no test split
  Put("cifar-10-batches-bin/test_batch.bin", Record({0}, 'c'));
  EXPECT_THAT(DatasetsPresent(root_), testing::Contains("cifar10"));
}

TEST_F(MadeFiles, MissingFilesSayWhatToDo) {
  ExpectError("cifar10", Split::kTrain, absl::StatusCode::kNotFound,
              {"data_batch_1.bin", "cifar-10-binary.tar.gz", root_});
  ExpectError("cifar100", Split::kTest, absl::StatusCode::kNotFound,
              {"test.bin", "cifar-100-binary.tar.gz"});
  if (!PathExists("/usr/share/datasets/fashion-mnist")) {
    ExpectError("fashion_mnist", Split::kTest, absl::StatusCode::kNotFound,
                {"t10k-images-idx3-ubyte.gz", "apt-get install dataset-fashion-mnist"});
  }
  ExpectError("imagenet", Split::kTest, absl::StatusCode::kInvalidArgument, {"imagenet"});
  Put("cifar-10-batches-bin/data_batch_1.bin", Record({3}, 'a'));
  Put("cifar-10-batches-bin/data_batch_3.bin", Record({3}, 'a'));
  ExpectError("cifar10", Split::kTrain, absl::StatusCode::kNotFound, {"data_batch_2.bin"});
}

TEST_F(MadeFiles, DamagedCifarNamesFileAndRecord) {
  const std::string name = "cifar-10-batches-bin/test_batch.bin";
  Put(name, Record({3}, 'a') + Record({10}, 'b'));
  ExpectError("cifar10", Split::kTest, absl::StatusCode::kDataLoss, {name, "record 1", "label 10"});
  Put(name, Record({3}, 'a') + Record({1}, 'b').substr(0, 3000));
  ExpectError("cifar10", Split::kTest, absl::StatusCode::kDataLoss, {name, "record 1 is cut off"});
  Put(name, "");
  ExpectError("cifar10", Split::kTest, absl::StatusCode::kDataLoss, {name, "record 0 is cut off"});
  Put("cifar-100-binary/train.bin", Record({19, 99}, 'a') + Record({20, 5}, 'b'));
  ExpectError("cifar100", Split::kTrain, absl::StatusCode::kDataLoss,
              {"train.bin", "record 1", "label 20"});
  Put("cifar-100-binary/train.bin", Record({19, 100}, 'a'));
  ExpectError("cifar100", Split::kTrain, absl::StatusCode::kDataLoss, {"record 0", "label 100"});
}

// Some of the four files are there, as after a download that failed.
TEST_F(MadeFiles, DebiansFashionMnistStandsInForAPartOfOne) {
  if (!PathExists("/usr/share/datasets/fashion-mnist"))
    GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  Put("fashion-mnist/train-images-idx3-ubyte.gz", "");
  EXPECT_THAT(DatasetsPresent(root_), testing::Contains("fashion_mnist"));
  const auto dataset = LoadDataset(Spec("fashion_mnist", {}, 5), root_, Split::kTest);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ(dataset->size(), 5);
}

// What comes after is not even looked at.
TEST_F(MadeFiles, NoMoreIsReadThanTheLimitAsksFor) {
  Put("cifar-10-batches-bin/data_batch_1.bin",
      Record({3}, 'a') + Record({9}, 'b') + Record({3}, 'c') + Record({10}, 'd'));
  Put("cifar-10-batches-bin/data_batch_2.bin", Record({77}, 'e'));
  const auto cifar = LoadDataset(Spec("cifar10", {3}, 2), root_, Split::kTrain);
  ASSERT_TRUE(cifar.ok()) << cifar.status();
  EXPECT_THAT(cifar->labels, testing::ElementsAre(0, 0));
  EXPECT_EQ(cifar->classes, 1);
  EXPECT_EQ(cifar->pixels[3072], 'c');
  EXPECT_EQ(cifar->pixels.capacity(), 2u * 3072) << "asked for once";

  PutOtherIdxFiles();
  PutGzip("fashion-mnist/train-images-idx3-ubyte.gz", Idx({3, 28, 28}, std::string(1600, 'x')));
  PutGzip("fashion-mnist/train-labels-idx1-ubyte.gz", Idx({3}, {1, 9, 2}));
  const auto mnist = LoadDataset(Spec("fashion_mnist", {9}, 1), root_, Split::kTrain);
  ASSERT_TRUE(mnist.ok()) << mnist.status();
  EXPECT_THAT(mnist->labels, testing::ElementsAre(0));
  EXPECT_EQ(mnist->pixels.capacity(), 784u);
}

TEST_F(MadeFiles, DamagedIdxNamesFileAndRecord) {
  const std::string images = "fashion-mnist/train-images-idx3-ubyte.gz";
  const std::string labels = "fashion-mnist/train-labels-idx1-ubyte.gz";
  const auto expect = [&](std::vector<std::string> parts) {
    ExpectError("fashion_mnist", Split::kTrain, absl::StatusCode::kDataLoss, parts);
  };
  PutOtherIdxFiles();
  const std::string good = Idx({2, 28, 28}, std::string(1568, 'x'));
  PutGzip(images, good);
  PutGzip(labels, Idx({2}, {1, 9}));
  const auto dataset = LoadDataset(Spec("fashion_mnist"), root_, Split::kTrain);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT(dataset->labels, testing::ElementsAre(1, 9));

  PutGzip(labels, Idx({2}, {1, 10}));
  expect({labels, "record 1", "label 10"});
  PutGzip(labels, Idx({3}, {1, 2, 3}));
  expect({"2 images", "3 labels", labels});
  PutGzip(labels, Idx({2}, {1, 2, 3}));
  expect({labels, "shape 2, but 3 bytes"});
  PutGzip(labels, Idx({2}, {1, 2}));

  PutGzip(images, Idx({2, 28, 28}, std::string(1567, 'x')));
  expect({images, "2 x 28 x 28", "1567 bytes"});
  PutGzip(images, Idx({0xffffffff, 0xffffffff, 0xffffffff}, "x"));
  expect({images, "not 28 x 28"});
  PutGzip(images, Idx({2, 14, 56}, std::string(1568, 'x')));
  expect({images, "14 x 56"});
  PutGzip(images, Idx({2}, "xx"));
  expect({images, "no IDX file"});
  PutGzip(images, "");
  expect({images, "no IDX file"});

  // A gzip file cut off, and one with a wrong checksum.
  PutGzip(images, good);
  const std::string packed = *ReadFile(JoinPath(root_, images), 1 << 20);
  Put(images, packed.substr(0, packed.size() - 9));
  expect({images, "damaged"});
  std::string wrong = packed;
  wrong[wrong.size() - 6] ^= 1;
  Put(images, wrong);
  expect({images, "damaged"});
}

TEST_F(MadeFiles, BadClassesAreRefused) {
  Put("cifar-10-batches-bin/test_batch.bin", Record({3}, 'a') + Record({4}, 'b'));
  for (const std::vector<int>& classes : {std::vector<int>{10}, {-1}, {3, 3}, {5}}) {
    const absl::Status status = LoadDataset(Spec("cifar10", classes), root_, Split::kTest).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("dataset.classes"));
  }
}

}  // namespace
}  // namespace qsweep::engine
