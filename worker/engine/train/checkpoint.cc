#include "worker/engine/train/checkpoint.h"

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/proto_json.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"

namespace qsweep::engine {
namespace {

constexpr char kFormat[] = "qsweep-checkpoint-1";
constexpr char kFormatKey[] = "format", kStateKey[] = "state", kChecksumKey[] = "crc32";
constexpr char kValue[] = "value/", kFirst[] = "first_moment/", kSecond[] = "second_moment/",
               kBest[] = "best/";

// Of the state and of every tensor's name and bytes: safetensors has no checksum of its own.
std::string Checksum(const TensorFile& file) {
  uint32_t crc = Crc32(file.metadata.at(kStateKey));
  for (const auto& [name, tensor] : file.tensors) {
    crc = Crc32(name, crc);
    crc = Crc32({static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()}, crc);
  }
  return absl::StrCat(crc);
}

absl::Status CopyTensor(const TensorFile& file, const std::string& name, const at::Tensor& to) {
  const auto it = file.tensors.find(name);
  if (it == file.tensors.end()) {
    return absl::DataLossError(absl::StrCat("checkpoint lacks ", name));
  }
  if (it->second.sizes() != to.sizes() || it->second.scalar_type() != to.scalar_type()) {
    return absl::DataLossError(absl::StrCat("checkpoint: ", name, " has another shape or type"));
  }
  to.copy_(it->second);
  return absl::OkStatus();
}

}  // namespace

BestValues MakeBestValues(const std::vector<AdamW::Slot>& slots) {
  const AccountScope scope(Account::kOptimizer);
  BestValues best;
  // Zeros, not empty: their pages are then taken at once, too.
  for (const AdamW::Slot& slot : slots) best.push_back(at::zeros_like(slot.first_moment));
  return best;
}

absl::StatusOr<v1::FileFact> WriteCheckpoint(const std::string& directory,
                                             const v1::TrainerState& state,
                                             const std::vector<AdamW::Slot>& slots,
                                             const BestValues& best) {
  TensorFile file;
  for (size_t i = 0; i < slots.size(); ++i) {
    const std::string& name = slots[i].parameter.name;
    file.tensors[kValue + name] = slots[i].parameter.value.cpu();
    file.tensors[kFirst + name] = slots[i].first_moment.cpu();
    file.tensors[kSecond + name] = slots[i].second_moment.cpu();
    if (state.has_best()) file.tensors[kBest + name] = best[i].cpu();
  }
  file.metadata[kFormatKey] = kFormat;
  file.metadata[kStateKey] = ToJson(state);
  file.metadata[kChecksumKey] = Checksum(file);

  v1::FileFact fact;
  fact.set_name(absl::StrCat("checkpoint-", state.step(), ".safetensors"));
  const std::string path = JoinPath(directory, fact.name());
  RETURN_IF_ERROR(WriteTensorFile(path, file));
  ASSIGN_OR_RETURN(*fact.mutable_sha256(), Sha256HexOfFile(path));
  ASSIGN_OR_RETURN(const int64_t bytes, FileSize(path));
  fact.set_bytes(bytes);
  return fact;
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path, const std::string& run_key) {
  Checkpoint checkpoint;
  ASSIGN_OR_RETURN(checkpoint.file, ReadTensorFile(path));
  auto& metadata = checkpoint.file.metadata;
  if (metadata[kFormatKey] != kFormat || metadata.count(kStateKey) == 0) {
    return absl::DataLossError(absl::StrCat(path, ": not a checkpoint (", kFormat, ")"));
  }
  if (metadata[kChecksumKey] != Checksum(checkpoint.file)) {
    return absl::DataLossError(
        absl::StrCat(path, ": damaged: its checksum does not match; continue from an older one"));
  }
  if (const absl::Status status = FromJson(metadata[kStateKey], &checkpoint.state); !status.ok()) {
    return absl::DataLossError(absl::StrCat(path, ": ", status.message()));
  }
  if (checkpoint.state.run_key() != run_key) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is of another experiment (spec ",
                                                   checkpoint.state.run_key(), ", this one is ",
                                                   run_key, "); give the spec it was made with"));
  }
  return checkpoint;
}

absl::Status RestoreTensors(const Checkpoint& checkpoint, const std::vector<AdamW::Slot>& slots,
                            const BestValues& best) {
  for (size_t i = 0; i < slots.size(); ++i) {
    const AdamW::Slot& slot = slots[i];
    const std::string& name = slot.parameter.name;
    RETURN_IF_ERROR(CopyTensor(checkpoint.file, kValue + name, slot.parameter.value));
    RETURN_IF_ERROR(CopyTensor(checkpoint.file, kFirst + name, slot.first_moment));
    RETURN_IF_ERROR(CopyTensor(checkpoint.file, kSecond + name, slot.second_moment));
    if (!checkpoint.state.has_best()) continue;
    RETURN_IF_ERROR(CopyTensor(checkpoint.file, kBest + name, best[i]));
  }
  return absl::OkStatus();
}

}  // namespace qsweep::engine
