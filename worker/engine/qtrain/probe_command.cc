#include <cstdio>

#include "common/attempt_dir.h"
#include "common/proto_json.h"
#include "common/utf8.h"
#include "common/version.h"
#include "qsweep/v1/worker.pb.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/base/cpu.h"
#include "worker/engine/base/device.h"
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

int ProbeCommand(const std::string& data_root, const std::string& model_root,
                 const std::string& device) {
  if (const absl::Status status = UseDevice(device); !status.ok()) {
    std::fprintf(stderr, "qtrain: --device %s\n", std::string(status.message()).c_str());
    return kExitFailed;
  }
  v1::WorkerInfo info;
  info.set_device(ComputeDeviceName());
  if (const DeviceMemory* memory = CountedDevice()) info.set_memory_bytes(memory->Free());
  info.set_version(kVersion);
  info.set_cores(AvailableCores());
  Fill(Gpus(), info.mutable_gpus());
  Fill(InstructionSets(), info.mutable_instruction_sets());
  Fill(ModelsPresent(model_root), info.mutable_models());
  Fill(DatasetsPresent(data_root), info.mutable_datasets());
  MakeUtf8(&info);
  std::puts(ToJson(info, JsonStyle::kPretty).c_str());
  return 0;
}

}  // namespace qsweep::engine
