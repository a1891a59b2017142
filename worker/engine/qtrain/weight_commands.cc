// qtrain quantize, dequantize and merge: from weight files to weight files.
#include <ATen/ATen.h>

#include <cstdio>
#include <memory>

#include "absl/strings/str_format.h"
#include "common/file.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "worker/engine/model/peft_adapter.h"
#include "worker/engine/qtrain/commands.h"
#include "worker/engine/quant/scheme.h"
#include "worker/engine/quant/weight_file.h"
#include "worker/engine/train/reporter.h"

namespace qsweep::engine {
namespace {

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

absl::Status Quantize(const std::string& in, const std::string& out, const v1::Quantization& spec) {
  ASSIGN_OR_RETURN(const TensorFile file, ReadTensorFile(in));
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

absl::Status Dequantize(const std::string& in, const std::string& out, const std::string& dtype) {
  const at::ScalarType type = dtype == "float32"    ? at::kFloat
                              : dtype == "bfloat16" ? at::kBFloat16
                                                    : at::kHalf;
  ASSIGN_OR_RETURN(const TensorFile file, ReadTensorFile(in));
  const size_t count = QuantizedNames(file).size();
  if (count == 0) return absl::InvalidArgumentError(in + ": holds no quantized tensor");
  const absl::StatusOr<TensorFile> expanded = DequantizeFile(file, type);
  if (!expanded.ok()) return Annotate(expanded.status(), in);
  RETURN_IF_ERROR(WriteTensorFile(out, *expanded));
  Say(absl::StrFormat("%s: %d tensors expanded to %s", out, count, dtype));
  return absl::OkStatus();
}

absl::Status Merge(const std::string& weights_file, const std::string& adapter_directory,
                   const std::string& out) {
  ASSIGN_OR_RETURN(TensorFile weights, ReadWeightFile(weights_file));
  ASSIGN_OR_RETURN(const PeftAdapter adapter, ReadPeftAdapter(adapter_directory));
  RETURN_IF_ERROR(Annotate(MergeAdapter(adapter, &weights), weights_file));
  RETURN_IF_ERROR(WriteTensorFile(out, weights));
  Say(absl::StrFormat("%s: %d adapters merged, %d tensors replaced", out, adapter.modules.size(),
                      adapter.saved.size()));
  return absl::OkStatus();
}

}  // namespace

void AddQuantize(CLI::App& app, Action* action) {
  struct Options {
    std::string in, out;
    v1::Quantization spec = DefaultSpec().quantization();
    int bits = 4;
    std::string quant_type = "nf4";
    bool double_quant = false;
    int blocksize = 64;
    std::vector<std::string> skip;
  };
  const auto o = std::make_shared<Options>();
  o->skip.assign(o->spec.skip_modules().begin(), o->spec.skip_modules().end());
  CLI::App* command = app.add_subcommand(
      "quantize", "Write a safetensors file with bitsandbytes' quantized weights");
  command->add_option("IN", o->in, "safetensors file")->required();
  command->add_option("OUT", o->out, "safetensors file to write")->required();
  command->add_option("--bits", o->bits, "4 or 8 (row-wise int8)")
      ->check(CLI::IsMember({4, 8}))
      ->capture_default_str();
  command->add_option("--quant-type", o->quant_type, "of 4 bits")
      ->check(CLI::IsMember(SchemeNames()))
      ->capture_default_str();
  command->add_flag("--double-quant", o->double_quant, "quantize the 4-bit scales too");
  command->add_option("--blocksize", o->blocksize, "weights a 4-bit scale is for")
      ->check(CLI::IsMember({32, 64, 128, 256, 512, 1024, 2048, 4096}))
      ->capture_default_str();
  command
      ->add_option("--skip", o->skip,
                   "modules left as they are: names, suffixes or with *; \"\" for none")
      ->capture_default_str();
  command->callback([o, action] {
    *action = [o]() -> absl::Status {
      if (o->bits == 8 && o->double_quant) {
        return absl::InvalidArgumentError("--double-quant needs --bits 4");
      }
      o->spec.set_bits(o->bits);
      o->spec.set_quant_type(o->quant_type);
      o->spec.set_double_quant(o->double_quant);
      o->spec.set_blocksize(o->blocksize);
      o->spec.clear_skip_modules();
      for (const std::string& pattern : o->skip) {
        if (!pattern.empty()) o->spec.add_skip_modules(pattern);
      }
      return Quantize(o->in, o->out, o->spec);
    };
  });
}

void AddDequantize(CLI::App& app, Action* action) {
  struct Options {
    std::string in, out, dtype = "float32";
  };
  const auto o = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("dequantize", "Expand the quantized weights of a safetensors file");
  command->add_option("IN", o->in, "safetensors file with bitsandbytes' keys")->required();
  command->add_option("OUT", o->out, "safetensors file to write")->required();
  command->add_option("--dtype", o->dtype, "float32, bfloat16 or float16")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))
      ->capture_default_str();
  command->callback([o, action] { *action = [o] { return Dequantize(o->in, o->out, o->dtype); }; });
}

void AddMerge(CLI::App& app, Action* action) {
  struct Options {
    std::string weights, adapter, out;
  };
  const auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "merge", "Add an adapter into the weights it was trained for: fp32, timm's names");
  command->add_option("WEIGHTS", o->weights, "safetensors file, quantized or not")->required();
  command->add_option("ADAPTER", o->adapter, "directory of adapter_model.safetensors")->required();
  command->add_option("OUT", o->out, "safetensors file to write")->required();
  command->callback(
      [o, action] { *action = [o] { return Merge(o->weights, o->adapter, o->out); }; });
}

}  // namespace qsweep::engine
