#include "worker/engine/quant/weight_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "common/spec/modules.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/quant/quantized_weight.h"

namespace qsweep::engine {
namespace {

constexpr absl::string_view kWeight = ".weight";

bool CanBeQuantized(const std::string& name, const at::Tensor& tensor, int bits) {
  return absl::EndsWith(name, kWeight) && tensor.is_floating_point() &&
         (bits == 8 ? tensor.dim() == 2 : tensor.dim() >= 2);
}

}  // namespace

absl::Status CheckSkips(const TensorFile& file, const v1::Quantization& spec) {
  for (const std::string& pattern : spec.skip_modules()) {
    const bool matched =
        std::any_of(file.tensors.begin(), file.tensors.end(), [&pattern](const auto& entry) {
          return absl::EndsWith(entry.first, kWeight) &&
                 ModuleMatches(ModuleOf(entry.first), pattern);
        });
    if (!matched) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", pattern, "\", to be skipped, is no module of the file"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorFile> QuantizeFile(const TensorFile& file, const v1::Quantization& spec,
                                        v1::QuantizationFacts* facts) {
  if (const std::vector<std::string> quantized = QuantizedNames(file); !quantized.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(quantized.front(), " is quantized already; dequantize the file first"));
  }
  *facts = v1::QuantizationFacts();
  TensorFile out;
  out.metadata = file.metadata;
  double bits = 0;
  int64_t before = 0, after = 0;
  for (const auto& [name, tensor] : file.tensors) {
    before += static_cast<int64_t>(tensor.nbytes());
    if (!CanBeQuantized(name, tensor, spec.bits()) ||
        ModuleMatchesAny(ModuleOf(name), spec.skip_modules())) {
      out.tensors[name] = tensor;
      after += static_cast<int64_t>(tensor.nbytes());
      continue;
    }
    const auto quantized = QuantizedWeight::Quantize(tensor, spec);
    if (!quantized.ok()) return Annotate(quantized.status(), name);
    quantized->Save(name, &out);
    after += quantized->payload_bytes() + quantized->scale_bytes();
    bits += quantized->bits_per_weight() * static_cast<double>(tensor.numel());
    facts->set_layers_quantized(facts->layers_quantized() + 1);
    facts->set_weights_quantized(facts->weights_quantized() + tensor.numel());
    *facts->add_layer_errors() = quantized->Error(tensor, ModuleOf(name));
  }
  if (facts->layers_quantized() == 0) {
    return absl::InvalidArgumentError("the file holds no weight to quantize");
  }
  facts->set_bits(spec.bits());
  facts->set_quant_type(spec.bits() == 8 ? "int8" : spec.quant_type());
  if (spec.bits() == 4) {
    facts->set_double_quant(spec.double_quant());
    facts->set_blocksize(spec.blocksize());
  }
  facts->set_bytes_before(before);
  facts->set_bytes_after(after);
  facts->set_bits_per_weight(bits / static_cast<double>(facts->weights_quantized()));
  return out;
}

absl::StatusOr<TensorFile> DequantizeFile(const TensorFile& file, at::ScalarType dtype) {
  TensorFile out = file;
  for (const std::string& name : QuantizedNames(file)) {
    ASSIGN_OR_RETURN(const QuantizedWeight quantized, QuantizedWeight::Load(file, name));
    for (const std::string& key : QuantizedKeys(file, name)) out.tensors.erase(key);
    out.tensors[name] = quantized.Dequantize(dtype);
  }
  return out;
}

absl::StatusOr<TensorFile> ReadWeightFile(const std::string& path) {
  const AccountScope scope(Account::kWeights);
  ASSIGN_OR_RETURN(TensorFile file, ReadTensorFile(path));
  if (QuantizedNames(file).empty()) return file;
  absl::StatusOr<TensorFile> expanded = DequantizeFile(file, at::kFloat);
  if (!expanded.ok()) return Annotate(expanded.status(), path);
  return expanded;
}

}  // namespace qsweep::engine
