#include "common/spec/datasets.h"

#include <algorithm>

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

ImageCounts ImagesOf(const v1::Dataset& dataset) {
  const DatasetShape* known = FindDataset(dataset.name());
  if (known == nullptr) return {};
  const auto chosen = [&](int64_t images, int64_t limit) {
    if (dataset.classes_size() > 0) images = images / known->classes * dataset.classes_size();
    return limit > 0 ? std::min(images, limit) : images;
  };
  return {chosen(known->train_images, dataset.train_limit()),
          chosen(known->test_images, dataset.eval_limit())};
}

}  // namespace qsweep
