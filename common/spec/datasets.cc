#include "common/spec/datasets.h"

namespace qsweep {

const DatasetShape* FindDataset(absl::string_view name) {
  static const DatasetShape datasets[] = {
      {"cifar10", 10, 50'000, 10'000, 3 * 32 * 32},
      {"cifar100", 100, 50'000, 10'000, 3 * 32 * 32},
      {"fashion_mnist", 10, 60'000, 10'000, 28 * 28},
  };
  for (const DatasetShape& dataset : datasets) {
    if (dataset.name == name) return &dataset;
  }
  return nullptr;
}

}  // namespace qsweep
