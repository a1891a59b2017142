// bitsandbytes' safetensors keys, as its Params4bit and Int8Params write and read them.
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/strip.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/quant/codes.h"
#include "worker/engine/quant/quantized_weight.h"

namespace qsweep::engine {
namespace {

using nlohmann::json;

constexpr char kQuantState[] = ".quant_state.bitsandbytes__";
constexpr int kNestedBlocksize = 256;
constexpr int64_t kMaxBlocksize = 4096;
constexpr int64_t kMaxFeatures = int64_t{1} << 30;

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
  std::string quant_type;
  int64_t out_features = 0, in_features = 0, blocksize = 0;
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
  const json shape = state.value("shape", json());
  if (!shape.is_array() || shape.size() != 2 || !integer(shape[0], kMaxFeatures) ||
      !integer(shape[1], kMaxFeatures)) {
    return absl::DataLossError("shape is not that of a matrix");
  }
  QuantState result{.quant_type = quant_type,
                    .out_features = shape[0].get<int64_t>(),
                    .in_features = shape[1].get<int64_t>(),
                    .blocksize = blocksize.get<int64_t>(),
                    .nested = state.contains("nested_blocksize")};
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
  if (quant_type_ == "int8") {
    const std::string module(absl::StripSuffix(name, ".weight"));
    file->tensors[module + ".SCB"] = absmax_;
    file->tensors[module + ".weight_format"] = at::zeros({}, at::kByte);  // row-major
    return;
  }
  json state = {{"quant_type", quant_type_},
                {"blocksize", blocksize_},
                {"dtype", "float32"},
                {"shape", {out_features_, in_features_}}};
  file->tensors[name + ".absmax"] = absmax_.defined() ? absmax_ : absmax_codes_;
  file->tensors[name + ".quant_map"] = TableTensor(quant_type_ == "fp4" ? kFp4Values : kNf4Values);
  if (!absmax_.defined()) {
    state["nested_blocksize"] = kNestedBlocksize;
    state["nested_dtype"] = "float32";
    state["nested_offset"] = static_cast<double>(nested_offset_);
    file->tensors[name + ".nested_absmax"] = nested_absmax_;
    file->tensors[name + ".nested_quant_map"] = TableTensor(DynamicMap());
  }
  std::string text = state.dump();
  file->tensors[name + kQuantState + quant_type_] =
      at::from_blob(text.data(), {static_cast<int64_t>(text.size())}, at::kByte).clone();
}

absl::StatusOr<QuantizedWeight> QuantizedWeight::Load(const TensorFile& file,
                                                      const std::string& name) {
  const auto payload = file.tensors.find(name);
  if (payload == file.tensors.end()) return absl::DataLossError(absl::StrCat(name, ": missing"));
  QuantizedWeight result;
  const std::string module(absl::StripSuffix(name, ".weight"));
  if (file.tensors.count(module + ".SCB") > 0) {
    if (payload->second.dim() != 2 || payload->second.numel() == 0) {
      return absl::DataLossError(absl::StrCat(name, ": not a matrix"));
    }
    result.quant_type_ = "int8";
    result.out_features_ = payload->second.size(0);
    result.in_features_ = payload->second.size(1);
    ASSIGN_OR_RETURN(const at::Tensor codes, Find(file, name, at::kChar, payload->second.numel()));
    ASSIGN_OR_RETURN(const at::Tensor scb,
                     Find(file, module + ".SCB", at::kFloat, result.out_features_));
    ASSIGN_OR_RETURN(const at::Tensor format, Find(file, module + ".weight_format", at::kByte, 1));
    if (format.item<uint8_t>() != 0) {
      return absl::DataLossError(
          absl::StrCat(module, ".weight_format: only 0 (row-major) can be read"));
    }
    result.payload_ = Keep(codes, {result.out_features_, result.in_features_}, Account::kWeights);
    result.absmax_ = Keep(scb, {result.out_features_}, Account::kScales);
    return result;
  }

  const std::string quant_type =
      file.tensors.count(absl::StrCat(name, kQuantState, "fp4")) ? "fp4" : "nf4";
  const std::string state_name = absl::StrCat(name, kQuantState, quant_type);
  const auto state_tensor = file.tensors.find(state_name);
  if (state_tensor == file.tensors.end() || state_tensor->second.scalar_type() != at::kByte) {
    return absl::DataLossError(
        absl::StrCat(name, ": neither .SCB nor ", kQuantState, "nf4 or fp4 beside it"));
  }
  const at::Tensor bytes = state_tensor->second.contiguous();
  absl::StatusOr<QuantState> state = ParseQuantState(
      std::string(static_cast<const char*>(bytes.data_ptr()), bytes.numel()), quant_type);
  if (!state.ok()) return Annotate(state.status(), state_name);
  result.quant_type_ = quant_type;
  result.out_features_ = state->out_features;
  result.in_features_ = state->in_features;
  result.blocksize_ = state->blocksize;
  const int64_t count = state->out_features * state->in_features;
  const int64_t blocks = (count + state->blocksize - 1) / state->blocksize;
  RETURN_IF_ERROR(
      CheckTable(file, name + ".quant_map", quant_type == "fp4" ? kFp4Values : kNf4Values));
  ASSIGN_OR_RETURN(const at::Tensor packed, Find(file, name, at::kByte, (count + 1) / 2));
  ASSIGN_OR_RETURN(const at::Tensor absmax,
                   Find(file, name + ".absmax", state->nested ? at::kByte : at::kFloat, blocks));
  result.payload_ = Keep(packed, {(count + 1) / 2, 1}, Account::kWeights);
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

}  // namespace qsweep::engine
