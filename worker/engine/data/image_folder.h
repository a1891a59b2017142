// Datasets as directories of pictures: DIR/train/CLASS/*.jpg and DIR/val/CLASS/*.jpg.
#ifndef QSWEEP_WORKER_ENGINE_DATA_IMAGE_FOLDER_H_
#define QSWEEP_WORKER_ENGINE_DATA_IMAGE_FOLDER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/data/dataset.h"

namespace qsweep::engine {

// The files of one split, of .jpg, .jpeg, .jfif, .jpe and .png in any case, at any depth below
// their class; none is opened. Classes are the subdirectories of train/, in sorted order, for both
// splits; files go round the classes, one each. NotFound and InvalidArgument say what the directory
// lacks; a picture of a format that cannot be read is an error, not left out.
absl::StatusOr<Dataset> LoadImageFolder(const std::string& directory, Split split);

// Subdirectories of `data_root` that hold both splits.
std::vector<std::string> ImageFoldersIn(const std::string& data_root);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_IMAGE_FOLDER_H_
