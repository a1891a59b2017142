#include "worker/engine/data/fashion_mnist.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status.h"
#include "worker/engine/data/selection.h"

namespace qsweep::engine {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{2} << 30;  // unpacked
constexpr char kDebianDirectory[] = "/usr/share/datasets/fashion-mnist";

// http://yann.lecun.com/exdb/mnist: 0, 0, 8 (unsigned byte), the number of dimensions, their sizes
// as big-endian 32-bit numbers, then the elements. Gzipped; read from its beginning to its end.
class IdxReader {
 public:
  explicit IdxReader(const std::string& path)
      : path_(path), file_(gzopen(path.c_str(), "rbe"), &gzclose) {}

  absl::Status ReadHeader(size_t dimensions) {
    if (file_ == nullptr) return ErrnoStatus(errno, path_, "open");
    std::string header(4 + 4 * dimensions, '\0');
    ASSIGN_OR_RETURN(const size_t got, ReadSome(header.data(), header.size()));
    const std::string magic = {0, 0, 8, static_cast<char>(dimensions)};
    if (got < header.size() || header.compare(0, 4, magic) != 0) {
      return absl::DataLossError(
          absl::StrCat(path_, ": no IDX file of bytes in ", dimensions, " dimensions"));
    }
    header_bytes_ = static_cast<int64_t>(header.size());
    for (size_t i = 1; i <= dimensions; ++i) {
      uint32_t size = 0;
      for (size_t k = 0; k < 4; ++k) size = size << 8 | static_cast<uint8_t>(header[4 * i + k]);
      shape_.push_back(size);
    }
    return absl::OkStatus();
  }

  // Of each dimension.
  const std::vector<int64_t>& shape() const { return shape_; }

  // The next elements, `size` of them.
  absl::Status Read(size_t size, uint8_t* out) {
    ASSIGN_OR_RETURN(const size_t got, ReadSome(reinterpret_cast<char*>(out), size));
    return got == size ? absl::OkStatus() : WrongSize();
  }

  // After all elements: nothing follows, and gzip's checksum is right.
  absl::Status ReadEnd() {
    char more = 0;
    ASSIGN_OR_RETURN(const size_t got, ReadSome(&more, 1));
    return got == 0 ? absl::OkStatus() : WrongSize();
  }

  // That there are not as many elements as the shape says. Reads on to count them.
  absl::Status WrongSize() {
    std::vector<char> buffer(1 << 16);
    size_t got = 0;
    do {
      ASSIGN_OR_RETURN(got, ReadSome(buffer.data(), buffer.size()));
      if (bytes_ > kMaxFileBytes) {
        return absl::DataLossError(
            absl::StrCat(path_, ": unpacks to more than ", kMaxFileBytes, " bytes"));
      }
    } while (got > 0);
    return absl::DataLossError(absl::StrCat(path_, ": shape ", absl::StrJoin(shape_, " x "),
                                            ", but ", bytes_ - header_bytes_, " bytes"));
  }

 private:
  // Fewer than `size` at the end only.
  absl::StatusOr<size_t> ReadSome(char* out, size_t size) {
    const int n = gzread(file_.get(), out, static_cast<unsigned>(size));
    int error = Z_OK;
    const char* const text = gzerror(file_.get(), &error);
    if (n < 0 || error != Z_OK) {
      return absl::DataLossError(absl::StrCat(path_, ": damaged after byte ", bytes_, ": ", text));
    }
    bytes_ += n;
    return static_cast<size_t>(n);
  }

  const std::string path_;
  const std::unique_ptr<gzFile_s, decltype(&gzclose)> file_;
  std::vector<int64_t> shape_;
  int64_t header_bytes_ = 0, bytes_ = 0;  // unpacked so far
};

// All of them, as stored: a byte an image is little beside the images.
absl::StatusOr<std::vector<uint8_t>> ReadLabels(const std::string& path, int64_t classes) {
  IdxReader reader(path);
  RETURN_IF_ERROR(reader.ReadHeader(1));
  const int64_t count = reader.shape()[0];
  std::vector<uint8_t> labels;
  // Not reserved: it may not be there, whatever the header says.
  for (uint8_t label = 0; static_cast<int64_t>(labels.size()) < count; labels.push_back(label)) {
    RETURN_IF_ERROR(reader.Read(1, &label));
    if (label < classes) continue;
    return absl::DataLossError(absl::StrCat(path, ": record ", labels.size(), ": label ", label,
                                            ", there are ", classes, " classes"));
  }
  RETURN_IF_ERROR(reader.ReadEnd());
  return labels;
}

std::pair<std::string, std::string> FilesOf(const std::string& directory, Split split) {
  const std::string prefix = split == Split::kTrain ? "train" : "t10k";
  return {JoinPath(directory, prefix + "-images-idx3-ubyte.gz"),
          JoinPath(directory, prefix + "-labels-idx1-ubyte.gz")};
}

bool Present(const std::string& directory) {
  const auto present = [&](Split split) {
    const auto [images, labels] = FilesOf(directory, split);
    return PathExists(images) && PathExists(labels);
  };
  return present(Split::kTrain) && present(Split::kTest);
}

// DATA_ROOT's own, or else the system's: some of the files may be what a failed download left.
std::string DirectoryOf(const std::string& data_root) {
  const std::string own = JoinPath(data_root, "fashion-mnist");
  return Present(own) ? own : kDebianDirectory;
}

// The images whose labels are chosen.
absl::Status ReadImages(const std::string& path, const std::string& labels_path,
                        const std::vector<uint8_t>& labels, const Selection& selection,
                        Dataset* dataset) {
  IdxReader reader(path);
  RETURN_IF_ERROR(reader.ReadHeader(3));
  const std::vector<int64_t>& shape = reader.shape();
  const auto count = static_cast<int64_t>(labels.size());
  if (shape[1] != dataset->height || shape[2] != dataset->width) {
    return absl::DataLossError(
        absl::StrCat(path, ": images of ", shape[1], " x ", shape[2], " pixels, not 28 x 28"));
  }
  if (shape[0] != count || count == 0) {
    return absl::DataLossError(
        absl::StrCat(path, ": ", shape[0], " images, but ", count, " labels in ", labels_path));
  }
  std::vector<uint8_t> image(dataset->height * dataset->width);
  const auto chosen = [&](uint8_t label) { return selection.numbers[label] >= 0; };
  const int64_t all = std::count_if(labels.begin(), labels.end(), chosen);
  dataset->pixels.reserve(std::min(all, selection.limit) * image.size());
  for (const uint8_t label : labels) {
    if (dataset->size() == selection.limit) return absl::OkStatus();
    RETURN_IF_ERROR(reader.Read(image.size(), image.data()));
    if (!chosen(label)) continue;
    dataset->labels.push_back(selection.numbers[label]);
    dataset->pixels.insert(dataset->pixels.end(), image.begin(), image.end());
  }
  return reader.ReadEnd();
}

}  // namespace

absl::StatusOr<Dataset> LoadFashionMnist(const std::string& data_root, Split split,
                                         const v1::Dataset& spec) {
  const auto [images_path, labels_path] = FilesOf(DirectoryOf(data_root), split);
  for (const std::string& path : {images_path, labels_path}) {
    if (!PathExists(path)) {
      return absl::NotFoundError(
          absl::StrCat(path,
                       ": not there; apt-get install dataset-fashion-mnist, or "
                       "put the four .gz files in ",
                       JoinPath(data_root, "fashion-mnist")));
    }
  }
  Dataset dataset{.channels = 1, .height = 28, .width = 28, .classes = 10};
  ASSIGN_OR_RETURN(const Selection selection, Selection::Of(spec, split, dataset.classes));
  ASSIGN_OR_RETURN(const std::vector<uint8_t> labels, ReadLabels(labels_path, dataset.classes));
  RETURN_IF_ERROR(ReadImages(images_path, labels_path, labels, selection, &dataset));
  dataset.classes = selection.classes;
  return dataset;
}

bool FashionMnistPresent(const std::string& data_root) { return Present(DirectoryOf(data_root)); }

}  // namespace qsweep::engine
