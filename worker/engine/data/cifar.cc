#include "worker/engine/data/cifar.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "common/file.h"
#include "common/status.h"
#include "worker/engine/data/selection.h"

namespace qsweep::engine {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{2} << 30;

struct CloseFile {
  void operator()(FILE* file) const { std::fclose(file); }
};

// The records of one batch, one at a time.
class BatchFile {
 public:
  BatchFile(std::string path, const CifarLayout& layout, int64_t pixels)
      : path_(std::move(path)), layout_(layout), record_(layout.label_classes.size() + pixels) {}

  // How many it holds, told by its size.
  absl::StatusOr<int64_t> Count() const {
    ASSIGN_OR_RETURN(const int64_t bytes, FileSize(path_));
    const auto record_bytes = static_cast<int64_t>(record_.size());
    const int64_t records = bytes / record_bytes;
    if (records == 0 || bytes % record_bytes != 0) {
      return absl::DataLossError(absl::StrCat(path_, ": record ", records, " is cut off: ", bytes,
                                              " bytes are no multiple of ", record_bytes));
    }
    if (bytes <= kMaxFileBytes) return records;
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": larger than the limit of ", kMaxFileBytes, " bytes"));
  }

  // Adds the chosen ones until there are enough.
  absl::Status AppendTo(const Selection& selection, Dataset* dataset) {
    const std::unique_ptr<FILE, CloseFile> file(std::fopen(path_.c_str(), "rbe"));
    if (file == nullptr) return ErrnoStatus(errno, path_, "open");
    for (int64_t record = 0; dataset->size() < selection.limit; ++record) {
      if (std::fread(record_.data(), record_.size(), 1, file.get()) != 1) {
        if (std::ferror(file.get()) != 0) return ErrnoStatus(errno, path_, "read");
        return absl::OkStatus();
      }
      RETURN_IF_ERROR(CheckLabels(record));
      const size_t label_bytes = layout_.label_classes.size();
      const int32_t label = selection.numbers[record_[label_bytes - 1]];
      if (label < 0) continue;
      dataset->labels.push_back(label);
      dataset->pixels.insert(dataset->pixels.end(), record_.begin() + label_bytes, record_.end());
    }
    return absl::OkStatus();
  }

 private:
  absl::Status CheckLabels(int64_t record) const {
    for (size_t i = 0; i < layout_.label_classes.size(); ++i) {
      const int label = record_[i], classes = layout_.label_classes[i];
      if (label < classes) continue;
      return absl::DataLossError(absl::StrCat(path_, ": record ", record, ": label ", label,
                                              ", there are ", classes, " classes"));
    }
    return absl::OkStatus();
  }

  const std::string path_;
  const CifarLayout& layout_;
  std::vector<uint8_t> record_;  // the one that was read last: labels, pixels
};

}  // namespace

const std::vector<CifarLayout>& CifarLayouts() {
  static const std::vector<CifarLayout> layouts = {
      {"cifar10",
       "cifar-10-batches-bin",
       {10},
       {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
        "data_batch_5.bin"},
       {"test_batch.bin"},
       "cifar-10-binary.tar.gz"},
      {"cifar100",
       "cifar-100-binary",
       {20, 100},
       {"train.bin"},
       {"test.bin"},
       "cifar-100-binary.tar.gz"},
  };
  return layouts;
}

absl::StatusOr<Dataset> LoadCifar(const CifarLayout& layout, const std::string& data_root,
                                  Split split, const v1::Dataset& spec) {
  Dataset dataset{.channels = 3, .height = 32, .width = 32, .classes = layout.label_classes.back()};
  const int64_t image_bytes = dataset.channels * dataset.height * dataset.width;
  const std::string directory = JoinPath(data_root, layout.directory);
  const std::vector<std::string>& names = split == Split::kTrain ? layout.train : layout.test;
  // A prefix of the batches is a dataset; a hole in them is a download that broke.
  const auto present = [&](const std::string& name) {
    return PathExists(JoinPath(directory, name));
  };
  const auto end = std::find_if_not(names.begin(), names.end(), present);
  if (end == names.begin() || std::any_of(end, names.end(), present)) {
    return absl::NotFoundError(
        absl::StrCat(JoinPath(directory, *end), ": not there; unpack ", layout.archive,
                     " from https://www.cs.toronto.edu/~kriz/cifar.html in ", data_root));
  }
  ASSIGN_OR_RETURN(const Selection selection, Selection::Of(spec, split, dataset.classes));
  std::vector<BatchFile> batches;
  int64_t records = 0;
  for (auto name = names.begin(); name != end; ++name) {
    batches.emplace_back(JoinPath(directory, *name), layout, image_bytes);
    ASSIGN_OR_RETURN(const int64_t count, batches.back().Count());
    records += count;
  }
  // Once, lest there be two of it for a moment. What is not filled takes no memory.
  dataset.pixels.reserve(std::min(records, selection.limit) * image_bytes);
  for (BatchFile& batch : batches) RETURN_IF_ERROR(batch.AppendTo(selection, &dataset));
  dataset.classes = selection.classes;
  return dataset;
}

bool CifarPresent(const CifarLayout& layout, const std::string& data_root) {
  const std::string directory = JoinPath(data_root, layout.directory);
  return PathExists(JoinPath(directory, layout.train[0])) &&
         PathExists(JoinPath(directory, layout.test[0]));
}

}  // namespace qsweep::engine
