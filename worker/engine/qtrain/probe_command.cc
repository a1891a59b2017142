#include <cstdio>

#include "common/proto_json.h"
#include "common/version.h"
#include "qsweep/v1/worker.pb.h"
#include "worker/engine/base/cpu.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/qtrain/commands.h"
#include "worker/engine/train/process.h"
#include "worker/engine/train/weights.h"

namespace qsweep::engine {
namespace {

template <typename Repeated>
void Fill(const std::vector<std::string>& values, Repeated* field) {
  field->Add(values.begin(), values.end());
}

}  // namespace

int ProbeCommand(const std::string& data_root, const std::string& model_root) {
  v1::WorkerInfo info;
  info.set_version(kVersion);
  info.set_cores(AvailableCores());
  Fill(Gpus(), info.mutable_gpus());
  Fill(InstructionSets(), info.mutable_instruction_sets());
  Fill(ModelsPresent(model_root), info.mutable_models());
  Fill(DatasetsPresent(data_root), info.mutable_datasets());
  std::puts(ToJson(info, JsonStyle::kPretty).c_str());
  return 0;
}

}  // namespace qsweep::engine
