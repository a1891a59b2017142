// The options that commands share: a spec, where data and weights lie, what to compute on.
#ifndef QSWEEP_WORKER_ENGINE_QTRAIN_SPEC_OPTIONS_H_
#define QSWEEP_WORKER_ENGINE_QTRAIN_SPEC_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/command_line.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep::engine {

inline constexpr char kDataRoot[] = "./data", kModelRoot[] = "./models";

void AddSpec(Command command, std::string* spec_file);  // required
void AddRoots(Command command, std::string* data_root, std::string* model_root);
void AddThreads(Command command, int* threads);
void AddMemoryLimit(Command command, int64_t* bytes);
void AddDevice(Command command, std::string* device);

// The file's spec, complete and checked; errors name the file. Weights that are given stand for
// model.weights: InvalidArgument if the spec wants random ones.
absl::StatusOr<v1::ExperimentSpec> LoadSpec(const std::string& path,
                                            const std::string& weights_file = "");

// InvalidArgument for bits: auto: which bits that are, only a run finds out.
absl::Status CheckBitsChosen(const v1::ExperimentSpec& spec);

struct SpecOptions {
  std::string spec_file;          // empty: the defaults
  std::vector<std::string> sets;  // FIELD=VALUE, as lora.rank=4
  std::string data_root = kDataRoot, model_root = kModelRoot;
  std::string weights_file;
  int threads = 0;
  std::string device = "cpu";

  void AddTo(Command command);
  // The file's spec with the values set, complete and checked. A list's elements are separated by
  // commas.
  absl::StatusOr<v1::ExperimentSpec> Load() const;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_QTRAIN_SPEC_OPTIONS_H_
