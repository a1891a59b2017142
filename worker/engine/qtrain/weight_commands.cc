// qtrain quantize, dequantize and merge: from weight files to weight files.
#include <ATen/ATen.h>

#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/file.h"
#include "common/quant/scheme.h"
#include "common/spec/fields.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "worker/engine/model/peft_adapter.h"
#include "worker/engine/qtrain/commands.h"
#include "worker/engine/quant/quantized_weight.h"
#include "worker/engine/quant/weight_file.h"
#include "worker/engine/train/reporter.h"

namespace qsweep::engine {
namespace {

absl::Status CheckNew(const std::string& out) {
  if (!PathExists(out)) return absl::OkStatus();
  return absl::AlreadyExistsError(out + ": is there already; name a new file");
}

double Megabytes(int64_t bytes) { return static_cast<double>(bytes) / 1e6; }

// The worst layer and the mean over the layers.
std::string ErrorText(const v1::QuantizationFacts& facts) {
  const v1::LayerError* worst = &facts.layer_errors(0);
  double sum = 0;
  for (const v1::LayerError& error : facts.layer_errors()) {
    sum += error.relative_mse();
    if (error.relative_mse() > worst->relative_mse()) worst = &error;
  }
  return absl::StrFormat("relative mean square error %.3g, largest %.3g in %s",
                         sum / facts.layer_errors_size(), worst->relative_mse(), worst->layer());
}

std::vector<std::string> DefaultSkips() {
  const auto& skips = DefaultSpec().quantization().skip_modules();
  return {skips.begin(), skips.end()};
}

absl::Status Quantize(const std::string& in, const std::string& out, const v1::Quantization& spec,
                      bool skips_asked) {
  RETURN_IF_ERROR(CheckNew(out));
  ASSIGN_OR_RETURN(const TensorFile file, ReadTensorFile(in));
  if (skips_asked) RETURN_IF_ERROR(Annotate(CheckSkips(file, spec), in));
  v1::QuantizationFacts facts;
  const absl::StatusOr<TensorFile> quantized = QuantizeFile(file, spec, &facts);
  if (!quantized.ok()) return Annotate(quantized.status(), in);
  RETURN_IF_ERROR(WriteTensorFile(out, *quantized));
  Say(absl::StrFormat("%s: %d of %d tensors in %s%s, %.3f bits a weight, %.2f MB to %.2f MB", out,
                      facts.layers_quantized(), file.tensors.size(), facts.quant_type(),
                      facts.double_quant() ? " with double quantization" : "",
                      facts.bits_per_weight(), Megabytes(facts.bytes_before()),
                      Megabytes(facts.bytes_after())));
  Say(ErrorText(facts));
  return absl::OkStatus();
}

struct QuantizeOptions {
  std::string in, out;
  int bits = 4;
  std::string quant_type = DefaultSpec().quantization().quant_type();
  bool double_quant = false;
  int blocksize = DefaultSpec().quantization().blocksize();
  std::vector<std::string> skip = DefaultSkips();  // of any model: it may lack them
};

absl::Status Quantize(const QuantizeOptions& options) {
  if (options.bits == 8 && options.double_quant) {
    return absl::InvalidArgumentError("--double-quant needs --bits 4");
  }
  v1::Quantization spec = DefaultSpec().quantization();
  spec.set_bits(options.bits);
  spec.set_quant_type(options.quant_type);
  spec.set_double_quant(options.double_quant);
  spec.set_blocksize(options.blocksize);
  spec.clear_skip_modules();
  for (const std::string& pattern : options.skip) {
    if (!pattern.empty()) spec.add_skip_modules(pattern);
  }
  return Quantize(options.in, options.out, spec, options.skip != DefaultSkips());
}

// Weights that no program can work with are not to be written as if they were good.
absl::Status CheckFinite(const TensorFile& file, const std::string& why) {
  for (const auto& [name, tensor] : file.tensors) {
    if (!tensor.is_floating_point() || at::isfinite(tensor).all().item<bool>()) continue;
    return absl::InvalidArgumentError(absl::StrCat(name, ": not finite ", why));
  }
  return absl::OkStatus();
}

absl::Status Dequantize(const std::string& in, const std::string& out, const std::string& dtype) {
  RETURN_IF_ERROR(CheckNew(out));
  const at::ScalarType type = dtype == "float32"    ? at::kFloat
                              : dtype == "bfloat16" ? at::kBFloat16
                                                    : at::kHalf;
  ASSIGN_OR_RETURN(const TensorFile file, ReadTensorFile(in));
  const size_t count = QuantizedNames(file).size();
  if (count == 0) return absl::InvalidArgumentError(in + ": holds no quantized tensor");
  const absl::StatusOr<TensorFile> expanded = DequantizeFile(file, type);
  if (!expanded.ok()) return Annotate(expanded.status(), in);
  RETURN_IF_ERROR(Annotate(CheckFinite(*expanded, absl::StrCat("in ", dtype)), in));
  RETURN_IF_ERROR(WriteTensorFile(out, *expanded));
  Say(absl::StrFormat("%s: %d tensors expanded to %s", out, count, dtype));
  return absl::OkStatus();
}

absl::Status Merge(const std::string& weights_file, const std::string& adapter_directory,
                   const std::string& out) {
  RETURN_IF_ERROR(CheckNew(out));
  ASSIGN_OR_RETURN(TensorFile weights, ReadWeightFile(weights_file));
  ASSIGN_OR_RETURN(const PeftAdapter adapter, ReadPeftAdapter(adapter_directory));
  RETURN_IF_ERROR(Annotate(MergeAdapter(adapter, &weights), weights_file));
  RETURN_IF_ERROR(Annotate(CheckFinite(weights, "with the adapter"), weights_file));
  RETURN_IF_ERROR(WriteTensorFile(out, weights));
  Say(absl::StrFormat("%s: %d adapters merged, %d tensors replaced", out, adapter.modules.size(),
                      adapter.saved.size()));
  return absl::OkStatus();
}

}  // namespace

void AddQuantize(Command program, Action* action) {
  const auto o = std::make_shared<QuantizeOptions>();
  const auto& blocksizes = FindSpecField("quantization.blocksize")->rule->one_of();
  Command command = program.AddCommand(
      "quantize", "Write a safetensors file with bitsandbytes' quantized weights",
      [o, action] { *action = [o] { return Quantize(*o); }; });
  command.AddOption("IN", &o->in, "safetensors file").Required();
  command.AddOption("OUT", &o->out, "new safetensors file").Required();
  command.AddOption("--bits", &o->bits, "4 or 8 (row-wise int8)").OneOf({"4", "8"});
  command.AddOption("--quant-type", &o->quant_type, "of 4 bits").OneOf(SchemeNames());
  command.AddFlag("--double-quant", &o->double_quant, "quantize the 4-bit scales too");
  command.AddOption("--blocksize", &o->blocksize, "weights a 4-bit scale is for")
      .OneOf({blocksizes.begin(), blocksizes.end()});
  command.AddOption("--skip", &o->skip,
                    "modules left as they are: names, suffixes or with *; \"\" for none");
}

void AddDequantize(Command program, Action* action) {
  struct Options {
    std::string in, out, dtype = "float32";
  };
  const auto o = std::make_shared<Options>();
  Command command = program.AddCommand(
      "dequantize", "Expand the quantized weights of a safetensors file",
      [o, action] { *action = [o] { return Dequantize(o->in, o->out, o->dtype); }; });
  command.AddOption("IN", &o->in, "safetensors file with bitsandbytes' keys").Required();
  command.AddOption("OUT", &o->out, "new safetensors file").Required();
  command.AddOption("--dtype", &o->dtype, "float32, bfloat16 or float16")
      .OneOf({"float32", "bfloat16", "float16"});
}

void AddMerge(Command program, Action* action) {
  struct Options {
    std::string weights, adapter, out;
  };
  const auto o = std::make_shared<Options>();
  Command command = program.AddCommand(
      "merge", "Add an adapter into the weights it was trained for: fp32, timm's names",
      [o, action] { *action = [o] { return Merge(o->weights, o->adapter, o->out); }; });
  command.AddOption("WEIGHTS", &o->weights, "safetensors file, quantized or not").Required();
  command.AddOption("ADAPTER", &o->adapter, "directory of adapter_model.safetensors").Required();
  command.AddOption("OUT", &o->out, "new safetensors file").Required();
}

}  // namespace qsweep::engine
