#include "worker/engine/data/image_folder.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status.h"

namespace qsweep::engine {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFiles = 50'000'000;
constexpr size_t kMaxClasses = 100'000;

std::string TrainDirectory(const std::string& directory) { return JoinPath(directory, "train"); }

std::string ValDirectory(const std::string& directory) { return JoinPath(directory, "val"); }

absl::StatusOr<std::vector<std::string>> ClassNames(const std::string& directory) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(directory));
  std::vector<std::string> classes;
  for (const std::string& name : names) {
    std::error_code error;  // of a link to itself, say: no directory
    if (name[0] != '.' && fs::is_directory(JoinPath(directory, name), error)) {
      classes.push_back(name);
    }
  }
  if (classes.size() < 2 || classes.size() > kMaxClasses) {
    return absl::InvalidArgumentError(absl::StrCat(directory, ": holds ", classes.size(),
                                                   " directories; one for each class, two at "
                                                   "least, are needed"));
  }
  return classes;
}

// Sorted.
absl::StatusOr<std::vector<std::string>> Pictures(const std::string& directory) {
  static const auto& readable =
      *new std::set<std::string>{".jpg", ".jpeg", ".jfif", ".jpe", ".png"};
  static const auto& unreadable =
      *new std::set<std::string>{".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2",
                                 ".jxl",  ".pgm", ".ppm", ".tif",  ".tiff", ".webp"};
  std::vector<std::string> files;
  std::error_code error;
  const auto options = fs::directory_options::follow_directory_symlink;
  fs::recursive_directory_iterator it(directory, options, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const std::string path = it->path().string();
    const std::string extension = absl::AsciiStrToLower(it->path().extension().string());
    if (it->is_directory(error)) continue;
    if (unreadable.count(extension) > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": only JPEG and PNG can be read; convert it or take it away"));
    }
    if (readable.count(extension) > 0) {
      if (error) return ErrnoStatus(error.value(), path, "read");  // a link to nowhere, say
      files.push_back(path);
    }
    if (files.size() > kMaxFiles || it.depth() > 16) {
      return absl::InvalidArgumentError(absl::StrCat(directory, ": too many files, or too deep"));
    }
  }
  if (error) return ErrnoStatus(error.value(), directory, "list");
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

absl::StatusOr<Dataset> LoadImageFolder(const std::string& directory, Split split) {
  const std::string train = TrainDirectory(directory), val = ValDirectory(directory);
  for (const std::string& part : {train, val}) {
    if (!PathExists(part)) {
      return absl::NotFoundError(absl::StrCat(
          part, ": not there; an imagefolder is a directory with train/CLASS/ and val/CLASS/"));
    }
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> classes, ClassNames(train));
  const std::string& root = split == Split::kTrain ? train : val;
  if (split == Split::kTest) {
    ASSIGN_OR_RETURN(const std::vector<std::string> present, ClassNames(val));
    for (const std::string& name : present) {
      if (std::binary_search(classes.begin(), classes.end(), name)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(JoinPath(val, name), ": a class that ", train, " does not have"));
    }
  }
  std::vector<std::vector<std::string>> by_class;
  size_t most = 0;
  for (const std::string& name : classes) {
    const std::string of_class = JoinPath(root, name);
    by_class.emplace_back();
    if (!PathExists(of_class)) continue;
    ASSIGN_OR_RETURN(by_class.back(), Pictures(of_class));
    if (by_class.back().empty() && split == Split::kTrain) {
      return absl::InvalidArgumentError(absl::StrCat(of_class, ": holds no .jpg, .jpeg or .png"));
    }
    most = std::max(most, by_class.back().size());
  }
  Dataset dataset{.channels = 3, .classes = static_cast<int64_t>(classes.size())};
  for (size_t i = 0; i < most; ++i) {
    for (size_t label = 0; label < by_class.size(); ++label) {
      if (i >= by_class[label].size()) continue;
      dataset.files.push_back(by_class[label][i]);
      dataset.labels.push_back(static_cast<int32_t>(label));
    }
  }
  if (dataset.files.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(root, ": holds no .jpg, .jpeg or .png"));
  }
  return dataset;
}

std::vector<std::string> ImageFoldersIn(const std::string& data_root) {
  std::vector<std::string> found;
  for (const std::string& name : ListDirectory(data_root).value_or(std::vector<std::string>())) {
    const std::string directory = JoinPath(data_root, name);
    if (PathExists(TrainDirectory(directory)) && PathExists(ValDirectory(directory))) {
      found.push_back(name);
    }
  }
  return found;
}

}  // namespace qsweep::engine
