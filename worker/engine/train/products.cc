#include "worker/engine/train/products.h"

#include <torch/version.h>

#include "common/attempt_dir.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/version.h"
#include "worker/engine/base/cpu.h"
#include "worker/engine/base/device.h"
#include "worker/engine/base/safetensors.h"

namespace qsweep::engine {
namespace {

absl::StatusOr<v1::FileFact> FactOf(const std::string& directory, const std::string& name) {
  const std::string path = JoinPath(directory, name);
  v1::FileFact fact;
  fact.set_name(name);
  ASSIGN_OR_RETURN(*fact.mutable_sha256(), Sha256HexOfFile(path));
  ASSIGN_OR_RETURN(const int64_t bytes, FileSize(path));
  fact.set_bytes(bytes);
  return fact;
}

std::string WeightsName(const std::string& method) {
  if (method == "full") return kModelFile;
  return method == "lora" ? kAdapterFile : kHeadFile;
}

}  // namespace

absl::StatusOr<std::vector<v1::FileFact>> WriteProducts(const std::string& directory,
                                                        const v1::ExperimentSpec& spec,
                                                        const Vit& model) {
  const std::string& method = spec.training().method();
  std::vector<std::string> names = {WeightsName(method)};
  RETURN_IF_ERROR(WriteTensorFile(JoinPath(directory, names.front()), model.Product()));
  if (method == "lora") {
    names.emplace_back(kAdapterConfigFile);
    RETURN_IF_ERROR(WriteFileAtomic(JoinPath(directory, names.back()),
                                    model.PeftConfigJson(spec.model().name())));
  }
  std::vector<v1::FileFact> facts;
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(v1::FileFact fact, FactOf(directory, name));
    facts.push_back(std::move(fact));
  }
  return facts;
}

v1::Provenance MakeProvenance(const v1::ExperimentSpec& spec, int threads) {
  v1::Provenance provenance;
  provenance.set_spec_sha256(RunKey(spec));
  provenance.set_qsweep_version(kVersion);
  provenance.set_torch_version(TORCH_VERSION);
  provenance.set_cpu(CpuModel());
  provenance.set_instruction_set(InstructionSets().empty() ? "baseline" : InstructionSets().back());
  provenance.set_threads(threads);
  provenance.set_device(ComputeDeviceName());
  return provenance;
}

}  // namespace qsweep::engine
