// Images with labels: cifar10 and cifar100 (official binary layout) and fashion_mnist (gzip IDX) in
// memory as the files hold them, an imagefolder as its list of files. Every byte that is read is
// checked.
#ifndef QSWEEP_WORKER_ENGINE_DATA_DATASET_H_
#define QSWEEP_WORKER_ENGINE_DATA_DATASET_H_

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/data/image.h"

namespace qsweep::engine {

enum class Split { kTrain, kTest };

// A picture's file that cannot be read or decoded, said where it is needed: DataLoss.
class ImageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Dataset {
  int64_t channels = 0, height = 0, width = 0;  // as stored: CIFAR 3, Fashion-MNIST 1
  int64_t classes = 0;
  std::vector<uint8_t> pixels;     // [size, channels, height, width], or
  std::vector<std::string> files;  // [size]: pictures of any size, three channels
  std::vector<int32_t> labels;     // 0 .. classes - 1
  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  bool of_files() const { return !files.empty(); }
  // From memory, or read and decoded. Safe to call from any thread. Throws ImageError.
  Image At(int64_t index) const;
};

// Classes and limits of `spec` applied: the first N images of the chosen classes, renumbered.
// NotFound says where it looked and what to install or download; DataLoss names the file and the
// record. An imagefolder is DATA_ROOT/spec.path; else looks in
// DATA_ROOT/cifar-10-batches-bin, DATA_ROOT/cifar-100-binary, DATA_ROOT/fashion-mnist and
// /usr/share/datasets/fashion-mnist. A file may hold fewer records than the official one.
absl::StatusOr<Dataset> LoadDataset(const v1::Dataset& spec, const std::string& data_root,
                                    Split split);

// The datasets of which both splits are there (files present; not read), an imagefolder as
// imagefolder:PATH.
std::vector<std::string> DatasetsPresent(const std::string& data_root);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_DATASET_H_
