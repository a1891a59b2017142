// The options with which a command is told an ExperimentSpec and where data and weights lie.
#ifndef QSWEEP_WORKER_ENGINE_QTRAIN_SPEC_OPTIONS_H_
#define QSWEEP_WORKER_ENGINE_QTRAIN_SPEC_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/command_line.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/qtrain/commands.h"

namespace qsweep::engine {

// --device.
void AddDevice(Command command, std::string* device);

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
