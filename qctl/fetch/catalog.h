// Where models and datasets have their public homes.
#ifndef QSWEEP_QCTL_FETCH_CATALOG_H_
#define QSWEEP_QCTL_FETCH_CATALOG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "qctl/fetch/download.h"

namespace qsweep::qctl {

struct CatalogFile {
  std::string url;
  std::string path;  // where the file belongs, under the model root or the data root
  Checksum checksum;
  // What its content must be besides; null: anything.
  absl::Status (*check)(const std::string& path) = nullptr;
  // A .tar.gz of which these members are wanted; they belong into the directory `path`.
  std::vector<std::string> members;
};

// `mirror` (empty: none) stands in for the home's scheme and host; the path after it is the same.
// `endpoint`, of models: the Hugging Face server, as HF_ENDPOINT names it; empty: huggingface.co.
// InvalidArgument lists what there is.
absl::StatusOr<std::vector<CatalogFile>> FilesOfModel(const std::string& name,
                                                      const std::string& endpoint,
                                                      const std::string& mirror);
absl::StatusOr<std::vector<CatalogFile>> FilesOfDataset(const std::string& name,
                                                        const std::string& mirror);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_FETCH_CATALOG_H_
