// Fashion-MNIST as four gzipped IDX files: DATA_ROOT's own if all are there, or else the Debian
// package's.
#ifndef QSWEEP_WORKER_ENGINE_DATA_FASHION_MNIST_H_
#define QSWEEP_WORKER_ENGINE_DATA_FASHION_MNIST_H_

#include <string>

#include "absl/status/statusor.h"
#include "worker/engine/data/dataset.h"

namespace qsweep::engine {

// The images that `spec` chooses; no more than these are in memory at any time.
absl::StatusOr<Dataset> LoadFashionMnist(const std::string& data_root, Split split,
                                         const v1::Dataset& spec);

// Whether the files of both splits are there.
bool FashionMnistPresent(const std::string& data_root);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_FASHION_MNIST_H_
