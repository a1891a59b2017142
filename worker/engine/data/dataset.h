// Images with labels, in memory as the files hold them: cifar10 and cifar100 (official binary
// layout), fashion_mnist (gzip IDX). Every byte that is read is checked.
#ifndef QSWEEP_WORKER_ENGINE_DATA_DATASET_H_
#define QSWEEP_WORKER_ENGINE_DATA_DATASET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep::engine {

enum class Split { kTrain, kTest };

struct Dataset {
  int64_t channels = 0, height = 0, width = 0;  // as stored: CIFAR 3, Fashion-MNIST 1
  int64_t classes = 0;
  std::vector<uint8_t> pixels;  // [size, channels, height, width]
  std::vector<int32_t> labels;  // 0 .. classes - 1
  int64_t size() const { return static_cast<int64_t>(labels.size()); }
};

// Classes and limits of `spec` applied: the first N images of the chosen classes, renumbered.
// NotFound says where it looked and what to install or download; DataLoss names the file and the
// record. Looks in DATA_ROOT/cifar-10-batches-bin, DATA_ROOT/cifar-100-binary,
// DATA_ROOT/fashion-mnist and /usr/share/datasets/fashion-mnist. A file may hold fewer records than
// the official one.
absl::StatusOr<Dataset> LoadDataset(const v1::Dataset& spec, const std::string& data_root,
                                    Split split);

// The datasets of which both splits are there (files present; not read).
std::vector<std::string> DatasetsPresent(const std::string& data_root);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_DATASET_H_
