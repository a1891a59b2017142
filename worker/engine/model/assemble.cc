#include "worker/engine/model/assemble.h"

#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/spec/modules.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"

namespace qsweep::engine {
namespace {

// Added to a module's number to tell its adapter's initial values from those of the base's tensors.
constexpr uint32_t kAdapterTensors = 1 << 16;
constexpr char kPeftPrefix[] = "base_model.model.";

using Patterns = google::protobuf::RepeatedPtrField<std::string>;

// Every pattern has to match one of the modules: one that does not is a mistake.
absl::Status CheckPatterns(const std::string& key, const Patterns& patterns,
                           const std::vector<std::string>& modules) {
  for (const std::string& pattern : patterns) {
    bool matches = false;
    for (const std::string& module : modules) matches |= ModuleMatches(module, pattern);
    if (!matches) {
      return absl::InvalidArgumentError(
          absl::StrCat(key, ": \"", pattern, "\" matches no module; there are ",
                       absl::StrJoin(modules.begin(),
                                     modules.begin() + std::min<size_t>(modules.size(), 4), ", "),
                       modules.size() > 4 ? ", ..." : ""));
    }
  }
  return absl::OkStatus();
}

class Assembler {
 public:
  Assembler(const v1::ExperimentSpec& spec, const ModelShape& shape, at::ScalarType compute,
            const NamedTensors& base)
      : spec_(spec), shape_(shape), compute_(compute), base_(base) {}

  absl::StatusOr<AssembledVit> Run(int64_t image_size);

 private:
  const std::string& method() const { return spec_.training().method(); }
  absl::Status CheckSpec() const;
  Parameter Train(const std::string& name, const std::string& group, const at::Tensor& value,
                  bool decay);
  // Trainable under full, else frozen in fp32.
  Parameter Base(const std::string& name, const std::string& group);
  Norm MakeNorm(const std::string& name, const std::string& group);
  absl::StatusOr<Linear> MakeLinear(const std::string& name, const std::string& group);
  absl::Status Freeze(const at::Tensor& weight, Linear* linear);
  void Adapt(const std::string& group, uint32_t module, Linear* linear);
  Linear MakeHead();
  absl::StatusOr<Block> MakeBlock(int64_t index);
  void CountHeld(int64_t bytes) { held_bytes_ += bytes; }

  const v1::ExperimentSpec& spec_;
  const ModelShape& shape_;
  const at::ScalarType compute_;
  const NamedTensors& base_;
  AssembledVit out_;
  int64_t held_bytes_ = 0;
  double quantized_bits_ = 0;
};

constexpr const char* kBlockLinears[] = {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"};

absl::Status Assembler::CheckSpec() const {
  std::vector<std::string> adaptable, all = {"patch_embed.proj", "head"};
  for (const ModuleShape& module : BlockLinears(shape_)) adaptable.push_back(module.name);
  all.insert(all.end(), adaptable.begin(), adaptable.end());
  if (method() == "lora") {
    if (spec_.lora().target_modules().empty()) {
      return absl::InvalidArgumentError("lora.target_modules: empty: no module would be adapted");
    }
    RETURN_IF_ERROR(CheckPatterns("lora.target_modules", spec_.lora().target_modules(), adaptable));
  }
  if (spec_.quantization().bits() > 0) {
    if (method() == "full") {
      return absl::InvalidArgumentError(
          "quantization.bits: training.method full trains every weight, so none is frozen to "
          "quantize; "
          "set bits to 0");
    }
    RETURN_IF_ERROR(
        CheckPatterns("quantization.skip_modules", spec_.quantization().skip_modules(), all));
  }
  return absl::OkStatus();
}

Parameter Assembler::Train(const std::string& name, const std::string& group,
                           const at::Tensor& value, bool decay) {
  AccountScope scope(method() == "full" ? Account::kWeights : Account::kAdapter);
  const at::Tensor trained = value.clone();
  out_.trainable.push_back({name, group, trained, decay});
  return {trained, static_cast<int>(out_.trainable.size()) - 1};
}

Parameter Assembler::Base(const std::string& name, const std::string& group) {
  const at::Tensor& value = base_.at(name);
  CountHeld(value.numel() * sizeof(float));
  if (method() == "full") return Train(name, group, value, /*decay=*/false);
  return {value};
}

Norm Assembler::MakeNorm(const std::string& name, const std::string& group) {
  Norm norm;
  norm.gamma = Base(name + ".weight", group);
  norm.beta = Base(name + ".bias", group);
  norm.eps = shape_.norm_eps;
  return norm;
}

absl::Status Assembler::Freeze(const at::Tensor& weight, Linear* linear) {
  const v1::Quantization& asked = spec_.quantization();
  if (asked.bits() == 0 || ModuleMatchesAny(linear->name, asked.skip_modules())) {
    linear->dense = weight.to(compute_);
    CountHeld(linear->dense.numel() * static_cast<int64_t>(linear->dense.element_size()));
    return absl::OkStatus();
  }
  absl::StatusOr<QuantizedWeight> quantized = QuantizedWeight::Quantize(weight, asked);
  if (!quantized.ok()) return Annotate(quantized.status(), linear->name);
  v1::QuantizationFacts& facts = out_.quantization;
  facts.set_layers_quantized(facts.layers_quantized() + 1);
  facts.set_weights_quantized(facts.weights_quantized() + weight.numel());
  *facts.add_layer_errors() = quantized->Error(weight, linear->name);
  quantized_bits_ += quantized->bits_per_weight() * static_cast<double>(weight.numel());
  CountHeld(quantized->payload_bytes() + quantized->scale_bytes());
  linear->quantized = *std::move(quantized);
  return absl::OkStatus();
}

absl::StatusOr<Linear> Assembler::MakeLinear(const std::string& name, const std::string& group) {
  Linear linear;
  linear.name = name;
  linear.compute = compute_;
  const at::Tensor& weight = base_.at(name + ".weight");
  const at::Tensor matrix = weight.view({weight.size(0), -1});
  if (method() == "full") {
    CountHeld(matrix.numel() * sizeof(float));
    linear.weight = Train(name + ".weight", group, matrix, /*decay=*/true);
  } else {
    RETURN_IF_ERROR(Freeze(matrix, &linear));
  }
  linear.bias = Base(name + ".bias", group);
  return linear;
}

// A ~ kaiming_uniform(a = sqrt 5), which is U(±1/sqrt(in)), and B = 0, as PEFT.
void Assembler::Adapt(const std::string& group, uint32_t module, Linear* linear) {
  const v1::Lora& lora = spec_.lora();
  const int64_t in = base_.at(linear->name + ".weight").size(1), rank = lora.rank();
  const uint64_t seed = spec_.seed();
  const std::string name = kPeftPrefix + linear->name;
  LoraAdapter adapter;
  const at::Tensor a = DrawUniform({rank, in}, 1 / std::sqrt(static_cast<double>(in)), seed,
                                   kAdapterTensors + module);
  adapter.a = Train(name + ".lora_A.weight", group, a, true);
  adapter.b = Train(name + ".lora_B.weight", group,
                    at::zeros({linear->out_features(), rank}, at::kFloat), true);
  adapter.scaling =
      lora.alpha() / (lora.use_rslora() ? std::sqrt(static_cast<double>(rank)) : rank);
  adapter.dropout_key = MakeKey(seed, Purpose::kLoraDropout, module);
  adapter.dropout_threshold = static_cast<uint32_t>(std::lround(lora.dropout() * 65536));
  linear->lora = std::move(adapter);
  out_.adapted.push_back(linear->name);
}

absl::StatusOr<Block> Assembler::MakeBlock(int64_t index) {
  const std::string group = absl::StrCat("blocks.", index), prefix = group + ".";
  Block block;
  block.heads = shape_.heads;
  block.cls_only = index == shape_.depth - 1;
  Linear* linears[] = {&block.qkv, &block.proj, &block.fc1, &block.fc2};
  block.norm1 = MakeNorm(prefix + "norm1", group);
  block.norm2 = MakeNorm(prefix + "norm2", group);
  for (int i = 0; i < 4; ++i) {
    ASSIGN_OR_RETURN(*linears[i], MakeLinear(prefix + kBlockLinears[i], group));
    if (method() == "lora" && ModuleMatchesAny(linears[i]->name, spec_.lora().target_modules())) {
      Adapt(group, static_cast<uint32_t>(4 * index + i), linears[i]);
    }
  }
  return block;
}

// Trained by every method, so never quantized; its product is small, so always fp32.
Linear Assembler::MakeHead() {
  const std::string prefix = method() == "lora" ? kPeftPrefix : "";
  Linear head;
  head.name = "head";
  head.compute = at::kFloat;
  head.weight = Train(prefix + "head.weight", "head", base_.at("head.weight"), true);
  head.bias = Train(prefix + "head.bias", "head", base_.at("head.bias"), false);
  CountHeld((head.weight.value.numel() + head.bias.value.numel()) * sizeof(float));
  return head;
}

absl::StatusOr<AssembledVit> Assembler::Run(int64_t image_size) {
  AccountScope scope(Account::kWeights);
  RETURN_IF_ERROR(CheckSpec());
  for (const auto& [name, value] : base_) out_.total_parameters += value.numel();

  Network& network = out_.network;
  network.image_size = image_size;
  network.patch_size = shape_.patch_size;
  network.compute = compute_;
  ASSIGN_OR_RETURN(network.patch_embed, MakeLinear("patch_embed.proj", "embed"));
  network.cls_token = Base("cls_token", "embed");
  network.pos_embed = Base("pos_embed", "embed");
  for (int64_t i = 0; i < shape_.depth; ++i) {
    ASSIGN_OR_RETURN(Block block, MakeBlock(i));
    network.blocks.push_back(std::move(block));
  }
  network.norm = MakeNorm("norm", "head");
  network.head = MakeHead();

  const v1::Quantization& asked = spec_.quantization();
  v1::QuantizationFacts& facts = out_.quantization;
  facts.set_bits(asked.bits());
  facts.set_quant_type(asked.bits() == 0   ? "none"
                       : asked.bits() == 8 ? "int8"
                                           : asked.quant_type());
  if (asked.bits() == 4) {
    facts.set_double_quant(asked.double_quant());
    facts.set_blocksize(asked.blocksize());
  }
  facts.set_bytes_before(out_.total_parameters * static_cast<int64_t>(sizeof(float)));
  facts.set_bytes_after(held_bytes_);
  if (asked.bits() == 0) return std::move(out_);
  if (facts.layers_quantized() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("quantization.bits is ", asked.bits(),
                     ", but quantization.skip_modules leaves no module to quantize"));
  }
  facts.set_bits_per_weight(quantized_bits_ / static_cast<double>(facts.weights_quantized()));
  return std::move(out_);
}

}  // namespace

absl::StatusOr<AssembledVit> AssembleVit(const v1::ExperimentSpec& spec, const ModelShape& shape,
                                         int64_t image_size, at::ScalarType compute,
                                         const NamedTensors& base) {
  return Assembler(spec, shape, compute, base).Run(image_size);
}

}  // namespace qsweep::engine
