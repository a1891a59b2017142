#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/proto_json.h"
#include "common/utf8.h"
#include "common/version.h"
#include "qsweep/v1/worker.pb.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/base/cpu.h"
#include "worker/engine/base/device.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/qtrain/commands.h"
#include "worker/engine/qtrain/spec_options.h"
#include "worker/engine/train/process.h"
#include "worker/engine/train/weights.h"

namespace qsweep::engine {
namespace {

template <typename Repeated>
void Fill(const std::vector<std::string>& values, Repeated* field) {
  field->Add(values.begin(), values.end());
}

struct Options {
  std::string data_root = kDataRoot, model_root = kModelRoot, device = "cpu";
};

absl::Status Probe(const Options& options) {
  if (const absl::Status status = UseDevice(options.device); !status.ok()) {
    return absl::Status(status.code(), absl::StrCat("--device ", status.message()));
  }
  v1::WorkerInfo info;
  info.set_device(ComputeDeviceName());
  // Not what is free: trainers of the agent before may be at work there.
  if (const DeviceMemory* memory = CountedDevice()) info.set_memory_bytes(memory->Total());
  info.set_version(kVersion);
  info.set_cores(AvailableCores());
  Fill(Gpus(), info.mutable_gpus());
  Fill(InstructionSets(), info.mutable_instruction_sets());
  Fill(ModelsPresent(options.model_root), info.mutable_models());
  Fill(DatasetsPresent(options.data_root), info.mutable_datasets());
  MakeUtf8(&info);
  std::puts(ToJson(info, JsonStyle::kPretty).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddProbe(Command program, Action* action) {
  const auto o = std::make_shared<Options>();
  Command command = program.AddCommand("probe", "Print what this machine has, as JSON",
                                       [o, action] { *action = [o] { return Probe(*o); }; });
  AddRoots(command, &o->data_root, &o->model_root);
  AddDevice(command, &o->device);
}

}  // namespace qsweep::engine
