#include "common/spec/datasets.h"

#include "absl/strings/str_cat.h"

namespace qsweep {

std::string DatasetOnDisk(const v1::Dataset& dataset) {
  if (dataset.path().empty()) return dataset.name();
  return absl::StrCat(dataset.name(), ":", dataset.path());
}

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
