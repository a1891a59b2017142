// A dataset's file of any bytes after the first, which says what file: an error, or as many pixels
// as labels, each of a class there is.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "common/file.h"
#include "common/status.h"
#include "common/testing/temporary_directory.h"
#include "worker/engine/data/dataset.h"

namespace {

using qsweep::engine::Dataset;

constexpr char kCifar10[] = "cifar-10-batches-bin/test_batch.bin";
constexpr char kCifar100[] = "cifar-100-binary/test.bin";
constexpr char kImages[] = "fashion-mnist/t10k-images-idx3-ubyte.gz";  // may be plain, too
constexpr char kLabels[] = "fashion-mnist/t10k-labels-idx1-ubyte.gz";

const std::string& Root() {
  static const qsweep::TemporaryDirectory root;
  return root.path();
}

void Put(const std::string& name, const std::string& bytes) {
  const std::string path = qsweep::JoinPath(Root(), name);
  const std::string directory = std::filesystem::path(path).parent_path().string();
  QSWEEP_CHECK(qsweep::MakeDirectories(directory).ok());
  QSWEEP_CHECK(qsweep::WriteFileAtomic(path, bytes).ok());
}

// Fashion-MNIST is looked for where all four of its files are; these two are not read.
void PutTrainingFiles() {
  Put("fashion-mnist/train-images-idx3-ubyte.gz", "");
  Put("fashion-mnist/train-labels-idx1-ubyte.gz", "");
}

// The file is put beside the good other half of Fashion-MNIST.
std::string PutAs(uint8_t kind, const std::string& bytes) {
  static const bool once = (PutTrainingFiles(), true);
  (void)once;
  switch (kind % 4) {
    case 0:
      Put(kCifar10, bytes);
      return "cifar10";
    case 1:
      Put(kCifar100, bytes);
      return "cifar100";
    case 2:
      Put(kImages, bytes);
      Put(kLabels, std::string("\0\0\x8\x1\0\0\0\x2\x3\x4", 10));
      return "fashion_mnist";
    default:
      Put(kImages, std::string("\0\0\x8\x3\0\0\0\x2\0\0\0\x1c\0\0\0\x1c", 16) +
                       std::string(2 * 28 * 28, '\x55'));
      Put(kLabels, bytes);
      return "fashion_mnist";
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  qsweep::v1::Dataset spec;
  spec.set_name(PutAs(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1}));
  const auto dataset = qsweep::engine::LoadDataset(spec, Root(), qsweep::engine::Split::kTest);
  if (!dataset.ok()) return 0;
  QSWEEP_CHECK(dataset->size() > 0);
  QSWEEP_CHECK(static_cast<int64_t>(dataset->pixels.size()) ==
               dataset->size() * dataset->channels * dataset->height * dataset->width);
  for (const int32_t label : dataset->labels) {
    QSWEEP_CHECK(0 <= label && label < dataset->classes);
  }
  return 0;
}
