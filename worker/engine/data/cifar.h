// CIFAR-10 and -100 in their official binary layout: label bytes, then 3 x 32 x 32 pixels, record
// after record.
#ifndef QSWEEP_WORKER_ENGINE_DATA_CIFAR_H_
#define QSWEEP_WORKER_ENGINE_DATA_CIFAR_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/data/dataset.h"

namespace qsweep::engine {

struct CifarLayout {
  std::string name;  // as in dataset.name
  std::string directory;
  std::vector<int> label_classes;  // of each label byte; the last is the one that is learnt
  std::vector<std::string> train, test;
  std::string archive;  // that holds the directory
};

const std::vector<CifarLayout>& CifarLayouts();

// The images that `spec` chooses; no more than these are in memory at any time.
absl::StatusOr<Dataset> LoadCifar(const CifarLayout& layout, const std::string& data_root,
                                  Split split, const v1::Dataset& spec);

// Whether both splits are there, by their first files.
bool CifarPresent(const CifarLayout& layout, const std::string& data_root);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_CIFAR_H_
