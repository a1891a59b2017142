#include "worker/engine/train/checkpoint.h"

#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/proto_json.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/base/safetensors.h"

namespace qsweep::engine {
namespace {

constexpr char kFormat[] = "qsweep-checkpoint-1";
constexpr char kFormatKey[] = "format", kStateKey[] = "state", kChecksumKey[] = "crc32";
constexpr char kValue[] = "value/", kFirst[] = "first_moment/", kSecond[] = "second_moment/",
               kBest[] = "best/";

// Of the state and then of every tensor, all fp32 and so by name in the file too: safetensors has
// no checksum of its own.
uint32_t AddToChecksum(const std::string& name, const at::Tensor& tensor, uint32_t crc) {
  return Crc32({static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()}, Crc32(name, crc));
}

std::string Checksum(const TensorFile& file) {
  uint32_t crc = Crc32(file.metadata.at(kStateKey));
  for (const auto& [name, tensor] : file.tensors) crc = AddToChecksum(name, tensor, crc);
  return absl::StrCat(crc);
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
  std::map<std::string, std::string> metadata;
  std::optional<uint32_t> crc;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    crc = AddToChecksum(name, tensor, crc ? *crc : Crc32(metadata[kStateKey]));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ReadTensors(path, add, &metadata));
  if (metadata[kFormatKey] != kFormat || !crc) {
    return absl::DataLossError(absl::StrCat(path, ": not a checkpoint (", kFormat, ")"));
  }
  Checkpoint checkpoint{.path = path};
  if (metadata[kChecksumKey] != absl::StrCat(*crc)) {
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
  std::map<std::string, at::Tensor> places;  // of what is not read yet
  for (size_t i = 0; i < slots.size(); ++i) {
    const std::string& name = slots[i].parameter.name;
    places[kValue + name] = slots[i].parameter.value;
    places[kFirst + name] = slots[i].first_moment;
    places[kSecond + name] = slots[i].second_moment;
    if (checkpoint.state.has_best()) places[kBest + name] = best[i];
  }
  const auto place = [&](const std::string& name, const at::Tensor& tensor) {
    const auto it = places.find(name);
    if (it == places.end()) return absl::OkStatus();
    if (tensor.sizes() != it->second.sizes() || tensor.scalar_type() != it->second.scalar_type()) {
      return absl::DataLossError(
          absl::StrCat(checkpoint.path, ": ", name, " has another shape or type"));
    }
    it->second.copy_(tensor);
    places.erase(it);
    return absl::OkStatus();
  };
  std::map<std::string, std::string> metadata;
  RETURN_IF_ERROR(ReadTensors(checkpoint.path, place, &metadata));
  if (places.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(checkpoint.path, ": lacks ", places.begin()->first));
}

}  // namespace qsweep::engine
