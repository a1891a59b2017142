#include "worker/engine/data/dataset.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status.h"
#include "worker/engine/data/image_folder.h"

namespace qsweep::engine {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{2} << 30;
constexpr int64_t kMaxPictureBytes = int64_t{256} << 20;
constexpr char kDebianFashionMnist[] = "/usr/share/datasets/fashion-mnist";

// The official binary layout: label bytes, then 3 x 32 x 32 pixels, record after record.
struct CifarLayout {
  const char* directory;
  std::vector<int> label_classes;  // of each label byte; the last is the one that is learnt
  std::vector<std::string> train, test;
  const char* origin;
};

const CifarLayout& Cifar10() {
  static const CifarLayout layout = {
      "cifar-10-batches-bin",
      {10},
      {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
       "data_batch_5.bin"},
      {"test_batch.bin"},
      "cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"};
  return layout;
}

const CifarLayout& Cifar100() {
  static const CifarLayout layout = {
      "cifar-100-binary",
      {20, 100},
      {"train.bin"},
      {"test.bin"},
      "cifar-100-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"};
  return layout;
}

absl::Status AppendCifar(const std::string& path, const CifarLayout& layout, Dataset* dataset) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kMaxFileBytes));
  const size_t pixels = static_cast<size_t>(dataset->channels * dataset->height * dataset->width);
  const size_t label_bytes = layout.label_classes.size(), record_bytes = label_bytes + pixels;
  const size_t records = bytes.size() / record_bytes;
  if (records == 0 || bytes.size() % record_bytes != 0) {
    return absl::DataLossError(absl::StrCat(path, ": record ", records,
                                            " is cut off: ", bytes.size(),
                                            " bytes are no multiple of ", record_bytes));
  }
  dataset->pixels.reserve(dataset->pixels.size() + records * pixels);
  for (size_t record = 0; record < records; ++record) {
    const char* const begin = bytes.data() + record * record_bytes;
    for (size_t i = 0; i < label_bytes; ++i) {
      const int label = static_cast<uint8_t>(begin[i]);
      if (label >= layout.label_classes[i]) {
        return absl::DataLossError(absl::StrCat(path, ": record ", record, ": label ", label,
                                                ", there are ", layout.label_classes[i],
                                                " classes"));
      }
    }
    dataset->labels.push_back(static_cast<uint8_t>(begin[label_bytes - 1]));
    dataset->pixels.insert(dataset->pixels.end(), begin + label_bytes, begin + record_bytes);
  }
  return absl::OkStatus();
}

absl::StatusOr<Dataset> LoadCifar(const CifarLayout& layout, const std::string& data_root,
                                  Split split) {
  Dataset dataset{.channels = 3, .height = 32, .width = 32, .classes = layout.label_classes.back()};
  const std::string directory = JoinPath(data_root, layout.directory);
  const std::vector<std::string>& names = split == Split::kTrain ? layout.train : layout.test;
  // A prefix of the batches is a dataset; a hole in them is a download that broke.
  const auto present = [&](const std::string& name) {
    return PathExists(JoinPath(directory, name));
  };
  const auto end = std::find_if_not(names.begin(), names.end(), present);
  if (end == names.begin() || std::any_of(end, names.end(), present)) {
    return absl::NotFoundError(absl::StrCat(JoinPath(directory, *end), ": not there; unpack ",
                                            layout.origin, " in ", data_root));
  }
  for (auto name = names.begin(); name != end; ++name) {
    RETURN_IF_ERROR(AppendCifar(JoinPath(directory, *name), layout, &dataset));
  }
  return dataset;
}

// Everything a gzip file holds; its checksum is right when this succeeds.
absl::StatusOr<std::string> ReadGzip(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rbe");
  if (file == nullptr) return ErrnoStatus(errno, path, "open");
  const absl::Cleanup close = [file] { gzclose(file); };
  std::string bytes;
  std::vector<char> buffer(1 << 18);
  while (true) {
    const int n = gzread(file, buffer.data(), static_cast<unsigned>(buffer.size()));
    int error = Z_OK;
    const char* const text = gzerror(file, &error);
    if (n < 0 || error != Z_OK) {
      return absl::DataLossError(
          absl::StrCat(path, ": damaged after byte ", bytes.size(), ": ", text));
    }
    if (n == 0) return bytes;
    bytes.append(buffer.data(), static_cast<size_t>(n));
    if (static_cast<int64_t>(bytes.size()) > kMaxFileBytes) {
      return absl::DataLossError(
          absl::StrCat(path, ": unpacks to more than ", kMaxFileBytes, " bytes"));
    }
  }
}

struct IdxFile {
  std::vector<int64_t> shape;
  std::string bytes;  // what follows the header
};

// http://yann.lecun.com/exdb/mnist: 0, 0, 8 (unsigned byte), the number of dimensions, their sizes
// as big-endian 32-bit numbers, then the elements.
absl::StatusOr<IdxFile> ReadIdx(const std::string& path, size_t dimensions) {
  ASSIGN_OR_RETURN(std::string bytes, ReadGzip(path));
  const size_t header_bytes = 4 + 4 * dimensions;
  const std::string magic = {0, 0, 8, static_cast<char>(dimensions)};
  if (bytes.size() < header_bytes || bytes.compare(0, 4, magic) != 0) {
    return absl::DataLossError(
        absl::StrCat(path, ": no IDX file of bytes in ", dimensions, " dimensions"));
  }
  IdxFile file;
  uint64_t elements = 1;
  for (size_t i = 0; i < dimensions; ++i) {
    uint32_t size = 0;
    for (size_t k = 0; k < 4; ++k) size = size << 8 | static_cast<uint8_t>(bytes[4 + 4 * i + k]);
    file.shape.push_back(size);
    if (__builtin_mul_overflow(elements, uint64_t{size}, &elements)) elements = UINT64_MAX;
  }
  if (bytes.size() - header_bytes != elements) {
    return absl::DataLossError(absl::StrCat(path, ": shape ", absl::StrJoin(file.shape, " x "),
                                            ", but ", bytes.size() - header_bytes, " bytes"));
  }
  file.bytes = bytes.substr(header_bytes);
  return file;
}

std::pair<std::string, std::string> FashionMnistFiles(const std::string& directory, Split split) {
  const std::string prefix = split == Split::kTrain ? "train" : "t10k";
  return {JoinPath(directory, prefix + "-images-idx3-ubyte.gz"),
          JoinPath(directory, prefix + "-labels-idx1-ubyte.gz")};
}

// DATA_ROOT's own, or else the system's.
std::string FashionMnistDirectory(const std::string& data_root) {
  const std::string own = JoinPath(data_root, "fashion-mnist");
  return PathExists(own) ? own : kDebianFashionMnist;
}

absl::StatusOr<Dataset> LoadFashionMnist(const std::string& data_root, Split split) {
  const auto [images_path, labels_path] =
      FashionMnistFiles(FashionMnistDirectory(data_root), split);
  for (const std::string& path : {images_path, labels_path}) {
    if (!PathExists(path)) {
      return absl::NotFoundError(
          absl::StrCat(path,
                       ": not there; apt-get install dataset-fashion-mnist, or "
                       "put the four .gz files in ",
                       JoinPath(data_root, "fashion-mnist")));
    }
  }
  ASSIGN_OR_RETURN(const IdxFile images, ReadIdx(images_path, 3));
  ASSIGN_OR_RETURN(const IdxFile labels, ReadIdx(labels_path, 1));
  if (images.shape[1] != 28 || images.shape[2] != 28) {
    return absl::DataLossError(absl::StrCat(images_path, ": images of ", images.shape[1], " x ",
                                            images.shape[2], " pixels, not 28 x 28"));
  }
  if (images.shape[0] != labels.shape[0] || images.shape[0] == 0) {
    return absl::DataLossError(absl::StrCat(images_path, ": ", images.shape[0], " images, but ",
                                            labels.shape[0], " labels in ", labels_path));
  }
  Dataset dataset{.channels = 1, .height = 28, .width = 28, .classes = 10};
  dataset.pixels.assign(images.bytes.begin(), images.bytes.end());
  for (size_t record = 0; record < labels.bytes.size(); ++record) {
    const int label = static_cast<uint8_t>(labels.bytes[record]);
    if (label >= dataset.classes) {
      return absl::DataLossError(absl::StrCat(labels_path, ": record ", record, ": label ", label,
                                              ", there are ", dataset.classes, " classes"));
    }
    dataset.labels.push_back(label);
  }
  return dataset;
}

// The first `limit` (0: all) images of the chosen classes, moved to the front.
absl::Status Select(const v1::Dataset& spec, int64_t limit, Dataset* dataset) {
  std::vector<int32_t> renumbered(dataset->classes, spec.classes().empty() ? 0 : -1);
  int32_t chosen = 0;
  for (int32_t label : spec.classes()) {
    if (label < 0 || label >= dataset->classes || renumbered[label] >= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("dataset.classes: ", label, " is not one of the ", dataset->classes,
                       " classes of ", spec.name(), ", or named twice"));
    }
    renumbered[label] = chosen++;
  }
  if (chosen == 0) std::iota(renumbered.begin(), renumbered.end(), 0);

  const int64_t pixels = dataset->channels * dataset->height * dataset->width;
  int64_t kept = 0;
  for (int64_t i = 0; i < dataset->size() && (limit == 0 || kept < limit); ++i) {
    const int32_t label = renumbered[dataset->labels[i]];
    if (label < 0) continue;
    dataset->labels[kept] = label;
    if (kept != i && dataset->of_files()) dataset->files[kept] = std::move(dataset->files[i]);
    if (kept != i && !dataset->of_files())
      std::copy_n(dataset->pixels.data() + i * pixels, pixels,
                  dataset->pixels.data() + kept * pixels);
    ++kept;
  }
  if (kept == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("dataset.classes: ", spec.name(), " holds no image of them"));
  }
  dataset->labels.resize(kept);
  if (dataset->of_files()) dataset->files.resize(kept);
  dataset->pixels.resize(kept * pixels);
  dataset->pixels.shrink_to_fit();
  if (chosen > 0) dataset->classes = chosen;
  return absl::OkStatus();
}

bool BothSplits(const CifarLayout& layout, const std::string& data_root) {
  const std::string directory = JoinPath(data_root, layout.directory);
  return PathExists(JoinPath(directory, layout.train[0])) &&
         PathExists(JoinPath(directory, layout.test[0]));
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
  const absl::StatusOr<std::string> bytes = ReadFile(path, kMaxPictureBytes);
  if (!bytes.ok()) throw ImageError(std::string(bytes.status().message()));
  absl::StatusOr<Image> image = DecodeImage(*bytes);
  if (!image.ok()) throw ImageError(absl::StrCat(path, ": ", image.status().message()));
  return *std::move(image);
}

absl::StatusOr<Dataset> LoadDataset(const v1::Dataset& spec, const std::string& data_root,
                                    Split split) {
  absl::StatusOr<Dataset> dataset =
      spec.name() == "cifar10"         ? LoadCifar(Cifar10(), data_root, split)
      : spec.name() == "cifar100"      ? LoadCifar(Cifar100(), data_root, split)
      : spec.name() == "fashion_mnist" ? LoadFashionMnist(data_root, split)
      : spec.name() == "imagefolder"
          ? LoadImageFolder(JoinPath(data_root, spec.path()), split)
          : absl::InvalidArgumentError(absl::StrCat("unknown dataset ", spec.name()));
  if (!dataset.ok()) return dataset.status();
  RETURN_IF_ERROR(
      Select(spec, split == Split::kTrain ? spec.train_limit() : spec.eval_limit(), &*dataset));
  return dataset;
}

std::vector<std::string> DatasetsPresent(const std::string& data_root) {
  std::vector<std::string> names;
  if (BothSplits(Cifar10(), data_root)) names.push_back("cifar10");
  if (BothSplits(Cifar100(), data_root)) names.push_back("cifar100");
  const std::string directory = FashionMnistDirectory(data_root);
  const auto present = [&](Split split) {
    const auto [images, labels] = FashionMnistFiles(directory, split);
    return PathExists(images) && PathExists(labels);
  };
  if (present(Split::kTrain) && present(Split::kTest)) names.push_back("fashion_mnist");
  for (const std::string& name : ImageFoldersIn(data_root)) {
    names.push_back(absl::StrCat("imagefolder:", name));
  }
  return names;
}

}  // namespace qsweep::engine
