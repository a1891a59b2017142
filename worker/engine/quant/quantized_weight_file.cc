// bitsandbytes' safetensors keys, as its Params4bit and Int8Params write and read them.
#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/quant/codes.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/quant/quantized_weight.h"

namespace qsweep::engine {
namespace {

using nlohmann::json;

constexpr char kQuantState[] = ".quant_state.bitsandbytes__";
constexpr char kWeight[] = ".weight", kRowScales[] = ".SCB", kRowFormat[] = ".weight_format";
constexpr int64_t kMaxBlocksize = 4096;
constexpr int64_t kMaxFeatures = int64_t{1} << 30;
constexpr int64_t kMaxElements = int64_t{1} << 40;
constexpr size_t kMaxDimensions = 8;

template <size_t N>
at::Tensor TableTensor(const std::array<float, N>& values) {
  return at::from_blob(const_cast<float*>(values.data()), {N}, at::kFloat).clone();
}

// The tensor of that name, type and element count.
absl::StatusOr<at::Tensor> Find(const TensorFile& file, const std::string& name,
                                at::ScalarType type, int64_t count) {
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end()) return absl::DataLossError(absl::StrCat(name, ": missing"));
  const at::Tensor& tensor = found->second;
  if (tensor.scalar_type() != type || tensor.numel() != count) {
    return absl::DataLossError(absl::StrCat(name, ": needs ", count, " of ", c10::toString(type),
                                            ", holds ", tensor.numel(), " of ",
                                            c10::toString(tensor.scalar_type())));
  }
  if (tensor.is_floating_point() && !tensor.isfinite().all().item<bool>()) {
    return absl::DataLossError(absl::StrCat(name, ": not finite"));
  }
  return tensor.contiguous();
}

// A code table that is not ours would change every value. Those that bitsandbytes wrote differ from
// one processor to the next in the last bits.
template <size_t N>
absl::Status CheckTable(const TensorFile& file, const std::string& name,
                        const std::array<float, N>& ours) {
  absl::StatusOr<at::Tensor> table = Find(file, name, at::kFloat, N);
  if (!table.ok()) return table.status();
  if (!table->flatten().allclose(TableTensor(ours), /*rtol=*/1e-6, /*atol=*/1e-12)) {
    return absl::DataLossError(absl::StrCat(name, ": not the code table of this format"));
  }
  return absl::OkStatus();
}

struct QuantState {
  std::vector<int64_t> shape;
  int64_t elements = 1, blocksize = 0;
  bool nested = false;
  float nested_offset = 0;
};

absl::StatusOr<QuantState> ParseQuantState(const std::string& text, const std::string& quant_type) {
  const json state = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!state.is_object()) return absl::DataLossError("no JSON object");
  const auto integer = [](const json& value, int64_t most) {
    return value.is_number_unsigned() && value.get<uint64_t>() >= 1 &&
           value.get<uint64_t>() <= static_cast<uint64_t>(most);
  };
  if (state.value("quant_type", json()) != quant_type) {
    return absl::DataLossError(absl::StrCat("quant_type is not ", quant_type));
  }
  const json blocksize = state.value("blocksize", json());
  if (!integer(blocksize, kMaxBlocksize) || blocksize.get<int64_t>() % 32 != 0) {
    return absl::DataLossError("blocksize is no multiple of 32 up to 4096");
  }
  QuantState result{.blocksize = blocksize.get<int64_t>(),
                    .nested = state.contains("nested_blocksize")};
  const json shape = state.value("shape", json());
  if (!shape.is_array() || shape.empty() || shape.size() > kMaxDimensions) {
    return absl::DataLossError("shape is not that of a tensor");
  }
  for (const json& size : shape) {
    if (!integer(size, kMaxFeatures) ||
        __builtin_mul_overflow(result.elements, size.get<int64_t>(), &result.elements) ||
        result.elements > kMaxElements) {
      return absl::DataLossError("shape is not that of a tensor");
    }
    result.shape.push_back(size.get<int64_t>());
  }
  if (result.nested) {
    if (state["nested_blocksize"] != kNestedBlocksize ||
        state.value("nested_dtype", json()) != "float32" ||
        !state.value("nested_offset", json()).is_number()) {
      return absl::DataLossError(
          "needs nested_blocksize 256, nested_dtype float32 and nested_offset");
    }
    result.nested_offset = static_cast<float>(state["nested_offset"].get<double>());
    if (!std::isfinite(result.nested_offset))
      return absl::DataLossError("nested_offset is not finite");
  }
  return result;
}

// Copies a tensor of the file to the account it belongs to.
at::Tensor Keep(const at::Tensor& tensor, at::IntArrayRef shape, Account account) {
  const AccountScope scope(account);
  return tensor.reshape(shape).clone();
}

}  // namespace

void QuantizedWeight::Save(const std::string& name, TensorFile* file) const {
  file->tensors[name] = payload_;
  if (scheme_ == nullptr) {
    file->tensors[ModuleOf(name) + kRowScales] = absmax_;
    file->tensors[ModuleOf(name) + kRowFormat] = at::zeros({}, at::kByte);  // row-major
    return;
  }
  json state = {{"quant_type", stored_as_},
                {"blocksize", blocksize_},
                {"dtype", "float32"},
                {"shape", shape_}};
  file->tensors[name + ".absmax"] = absmax_.defined() ? absmax_ : absmax_codes_;
  file->tensors[name + ".quant_map"] = TableTensor(scheme_->values);
  if (!absmax_.defined()) {
    state["nested_blocksize"] = kNestedBlocksize;
    state["nested_dtype"] = "float32";
    state["nested_offset"] = static_cast<double>(nested_offset_);
    file->tensors[name + ".nested_absmax"] = nested_absmax_;
    file->tensors[name + ".nested_quant_map"] = TableTensor(DynamicMap());
  }
  std::string text = state.dump();
  file->tensors[name + kQuantState + stored_as_] =
      at::from_blob(text.data(), {static_cast<int64_t>(text.size())}, at::kByte).clone();
}

absl::StatusOr<QuantizedWeight> QuantizedWeight::Load(const TensorFile& file,
                                                      const std::string& name) {
  const auto payload = file.tensors.find(name);
  if (payload == file.tensors.end()) return absl::DataLossError(absl::StrCat(name, ": missing"));
  if (file.tensors.count(ModuleOf(name) + kRowScales) > 0) {
    return LoadRows(file, name);
  }
  const std::string state_prefix = name + kQuantState;
  const auto state = file.tensors.lower_bound(state_prefix);
  if (state == file.tensors.end() || !absl::StartsWith(state->first, state_prefix) ||
      state->second.scalar_type() != at::kByte) {
    return absl::DataLossError(absl::StrCat(name, ": neither ", kRowScales, " nor ", kQuantState,
                                            absl::StrJoin(SchemeNames(), "|"), " beside it"));
  }
  return LoadBlocks(file, name, state->first, state->first.substr(state_prefix.size()));
}

absl::StatusOr<QuantizedWeight> QuantizedWeight::LoadRows(const TensorFile& file,
                                                          const std::string& name) {
  const at::Tensor& payload = file.tensors.at(name);
  const std::string module = ModuleOf(name);
  if (payload.dim() != 2 || payload.numel() == 0) {
    return absl::DataLossError(absl::StrCat(name, ": not a matrix"));
  }
  QuantizedWeight result;
  result.stored_as_ = "int8";
  result.SetShape(payload.sizes());
  ASSIGN_OR_RETURN(const at::Tensor codes, Find(file, name, at::kChar, payload.numel()));
  ASSIGN_OR_RETURN(const at::Tensor scb,
                   Find(file, module + kRowScales, at::kFloat, result.out_features()));
  ASSIGN_OR_RETURN(const at::Tensor format, Find(file, module + kRowFormat, at::kByte, 1));
  if (format.item<uint8_t>() != 0) {
    return absl::DataLossError(
        absl::StrCat(module, kRowFormat, ": only 0 (row-major) can be read"));
  }
  result.payload_ = Keep(codes, result.shape_, Account::kWeights);
  result.absmax_ = Keep(scb, {result.out_features()}, Account::kScales);
  return result;
}

absl::StatusOr<QuantizedWeight> QuantizedWeight::LoadBlocks(const TensorFile& file,
                                                            const std::string& name,
                                                            const std::string& state_name,
                                                            const std::string& quant_type) {
  QuantizedWeight result;
  result.stored_as_ = quant_type;
  result.scheme_ = FindScheme(quant_type);
  if (result.scheme_ == nullptr) {
    return absl::DataLossError(absl::StrCat(
        state_name, ": unknown quantization; known: ", absl::StrJoin(SchemeNames(), ", ")));
  }
  const at::Tensor bytes = file.tensors.at(state_name).contiguous();
  absl::StatusOr<QuantState> state = ParseQuantState(
      std::string(static_cast<const char*>(bytes.data_ptr()), bytes.numel()), quant_type);
  if (!state.ok()) return Annotate(state.status(), state_name);
  result.SetShape(state->shape);
  result.blocksize_ = state->blocksize;
  const int64_t blocks = (state->elements + state->blocksize - 1) / state->blocksize;
  RETURN_IF_ERROR(CheckTable(file, name + ".quant_map", result.scheme_->values));
  const int64_t bytes_of_codes = (state->elements + 1) / 2;
  ASSIGN_OR_RETURN(const at::Tensor packed, Find(file, name, at::kByte, bytes_of_codes));
  ASSIGN_OR_RETURN(const at::Tensor absmax,
                   Find(file, name + ".absmax", state->nested ? at::kByte : at::kFloat, blocks));
  result.payload_ = Keep(packed, {bytes_of_codes, 1}, Account::kWeights);
  (state->nested ? result.absmax_codes_ : result.absmax_) =
      Keep(absmax, {blocks}, Account::kScales);
  if (state->nested) {
    const int64_t groups = (blocks + kNestedBlocksize - 1) / kNestedBlocksize;
    RETURN_IF_ERROR(CheckTable(file, name + ".nested_quant_map", DynamicMap()));
    ASSIGN_OR_RETURN(const at::Tensor nested,
                     Find(file, name + ".nested_absmax", at::kFloat, groups));
    result.nested_absmax_ = Keep(nested, {groups}, Account::kScales);
    result.nested_offset_ = state->nested_offset;
  }
  return result;
}

std::string ModuleOf(const std::string& name) {
  return std::string(absl::StripSuffix(name, kWeight));
}

std::vector<std::string> QuantizedNames(const TensorFile& file) {
  std::vector<std::string> names;
  for (const auto& [key, tensor] : file.tensors) {
    if (const size_t at = key.find(absl::StrCat(kWeight, kQuantState)); at != std::string::npos) {
      names.push_back(absl::StrCat(key.substr(0, at), kWeight));
    } else if (absl::EndsWith(key, kRowScales)) {
      names.push_back(absl::StrCat(absl::StripSuffix(key, kRowScales), kWeight));
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::vector<std::string> QuantizedKeys(const TensorFile& file, const std::string& name) {
  std::vector<std::string> keys = {ModuleOf(name) + kRowScales, ModuleOf(name) + kRowFormat};
  const std::string prefix = name + ".";
  for (auto it = file.tensors.lower_bound(prefix);
       it != file.tensors.end() && absl::StartsWith(it->first, prefix); ++it) {
    keys.push_back(it->first);
  }
  return keys;
}

}  // namespace qsweep::engine
