#include "worker/engine/data/dataset.h"

#include <utility>

#include "common/file.h"
#include "common/status.h"
#include "worker/engine/data/cifar.h"
#include "worker/engine/data/fashion_mnist.h"
#include "worker/engine/data/image_folder.h"
#include "worker/engine/data/selection.h"

namespace qsweep::engine {
namespace {

constexpr int64_t kMaxPictureBytes = int64_t{256} << 20;
constexpr char kFashionMnist[] = "fashion_mnist", kImageFolder[] = "imagefolder";

// The chosen files, moved to the front.
void KeepChosen(const Selection& selection, Dataset* dataset) {
  int64_t kept = 0;
  for (int64_t i = 0; i < dataset->size() && kept < selection.limit; ++i) {
    const int32_t label = selection.numbers[dataset->labels[i]];
    if (label < 0) continue;
    dataset->labels[kept] = label;
    if (kept != i) dataset->files[kept] = std::move(dataset->files[i]);
    ++kept;
  }
  dataset->labels.resize(kept);
  dataset->files.resize(kept);
  dataset->classes = selection.classes;
}

absl::StatusOr<Dataset> LoadChosen(const v1::Dataset& spec, const std::string& data_root,
                                   Split split) {
  for (const CifarLayout& layout : CifarLayouts()) {
    if (layout.name == spec.name()) return LoadCifar(layout, data_root, split, spec);
  }
  if (spec.name() == kFashionMnist) return LoadFashionMnist(data_root, split, spec);
  if (spec.name() != kImageFolder) {
    return absl::InvalidArgumentError(absl::StrCat("unknown dataset ", spec.name()));
  }
  ASSIGN_OR_RETURN(Dataset dataset, LoadImageFolder(JoinPath(data_root, spec.path()), split));
  ASSIGN_OR_RETURN(const Selection selection, Selection::Of(spec, split, dataset.classes));
  KeepChosen(selection, &dataset);
  return dataset;
}

}  // namespace

Image Dataset::At(int64_t index) const {
  QSWEEP_CHECK(index >= 0 && index < size());
  if (!of_files()) {
    const int64_t count = channels * height * width;
    const uint8_t* const begin = pixels.data() + index * count;
    return {channels, height, width, std::vector<uint8_t>(begin, begin + count)};
  }
  const std::string& path = files[index];
  const absl::StatusOr<std::string> bytes = ReadRegularFile(path, kMaxPictureBytes);
  if (!bytes.ok()) throw ImageError(std::string(bytes.status().message()));
  absl::StatusOr<Image> image = DecodeImage(*bytes);
  if (!image.ok()) throw ImageError(absl::StrCat(path, ": ", image.status().message()));
  return *std::move(image);
}

absl::StatusOr<Dataset> LoadDataset(const v1::Dataset& spec, const std::string& data_root,
                                    Split split) {
  ASSIGN_OR_RETURN(Dataset dataset, LoadChosen(spec, data_root, split));
  if (dataset.size() > 0) return dataset;
  return absl::InvalidArgumentError(
      absl::StrCat("dataset.classes: ", spec.name(), " holds no image of them"));
}

std::vector<std::string> DatasetsPresent(const std::string& data_root) {
  std::vector<std::string> names;
  for (const CifarLayout& layout : CifarLayouts()) {
    if (CifarPresent(layout, data_root)) names.push_back(layout.name);
  }
  if (FashionMnistPresent(data_root)) names.push_back(kFashionMnist);
  for (const std::string& name : ImageFoldersIn(data_root)) {
    names.push_back(absl::StrCat(kImageFolder, ":", name));
  }
  return names;
}

}  // namespace qsweep::engine
