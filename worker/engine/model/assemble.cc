#include "worker/engine/model/assemble.h"

#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/spec/modules.h"
#include "common/spec/pairs.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"

namespace qsweep::engine {
namespace {

// Added to a module's number to tell its adapter's initial values from those of the base's tensors.
constexpr uint32_t kAdapterTensors = 1 << 16;
constexpr char kPeftPrefix[] = "base_model.model.";
constexpr char kPatchEmbedding[] = "patch_embed.proj";
constexpr char kEmbedding[] = "embed";  // the group of what lies before the blocks

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
  Assembler(const v1::ExperimentSpec& spec, const ModelShape& shape, const Vit::Options& options,
            const NamedTensors& base)
      : spec_(spec),
        shape_(shape),
        compute_(options.compute),
        device_(options.device),
        base_(base) {}

  absl::StatusOr<AssembledVit> Run(int64_t image_size);

 private:
  const std::string& method() const { return spec_.training().method(); }
  absl::Status CheckSpec() const;
  Parameter Train(const std::string& name, const std::string& group, const at::Tensor& value,
                  bool decay);
  // Trainable under full, else frozen in fp32.
  Parameter Base(const std::string& name, const std::string& group);
  Norm MakeNorm(const std::string& name, const std::string& group);
  // `norm`: whose output it reads; empty: another's. `number`: the module's, of the adaptable ones.
  absl::StatusOr<Linear> MakeLinear(const std::string& name, const std::string& group,
                                    const std::string& norm = "", uint32_t number = 0);
  bool IsSaved(const std::string& module) const;
  bool IsAdapted(const std::string& module) const;
  v1::Quantization OwnQuantization(const std::string& module) const;
  absl::Status Freeze(const at::Tensor& weight, const at::Tensor& importance, Linear* linear);
  absl::Status Adapt(const at::Tensor& weight, const at::Tensor& importance,
                     const std::string& group, uint32_t number, Linear* linear);
  AdapterPair DefaultPair(const Linear& linear, int64_t in, int64_t rank, uint32_t number) const;
  void ReportMixture();
  Linear MakeHead();
  absl::StatusOr<Block> MakeBlock(int64_t index);
  void CountHeld(int64_t bytes) { held_bytes_ += bytes; }

  const v1::ExperimentSpec& spec_;
  const ModelShape& shape_;
  const at::ScalarType compute_;
  const at::Device device_;
  const NamedTensors& base_;
  AssembledVit out_;
  int64_t held_bytes_ = 0;
  double quantized_bits_ = 0;
};

constexpr const char* kBlockLinears[] = {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"};

absl::Status Assembler::CheckSpec() const {
  std::vector<std::string> adaptable, all = {kPatchEmbedding, "head"};
  for (const ModuleShape& module : BlockLinears(shape_)) adaptable.push_back(module.name);
  all.insert(all.end(), adaptable.begin(), adaptable.end());
  if (method() == "lora") {
    if (spec_.lora().target_modules().empty()) {
      return absl::InvalidArgumentError("lora.target_modules: empty: no module would be adapted");
    }
    RETURN_IF_ERROR(CheckPatterns("lora.target_modules", spec_.lora().target_modules(), adaptable));
  }
  if (Quantizes(spec_.quantization())) {
    if (method() == "full") {
      return absl::InvalidArgumentError(
          "quantization.bits: training.method full trains every weight, so none is frozen to "
          "quantize; set bits to 0");
    }
    RETURN_IF_ERROR(
        CheckPatterns("quantization.skip_modules", spec_.quantization().skip_modules(), all));
  }
  return absl::OkStatus();
}

bool Assembler::IsSaved(const std::string& module) const {
  return method() == "lora" && ModuleMatchesAny(module, spec_.lora().modules_to_save());
}

bool Assembler::IsAdapted(const std::string& module) const {
  return method() == "lora" && ModuleMatchesAny(module, spec_.lora().target_modules());
}

Parameter Assembler::Train(const std::string& name, const std::string& group,
                           const at::Tensor& value, bool decay) {
  AccountScope scope(method() == "full" ? Account::kWeights : Account::kAdapter);
  const at::Tensor trained = value.to(device_, value.scalar_type(), false, /*copy=*/true);
  out_.trainable.push_back({name, group, trained, decay});
  return {trained, static_cast<int>(out_.trainable.size()) - 1};
}

Parameter Assembler::Base(const std::string& name, const std::string& group) {
  const at::Tensor& value = base_.at(name);
  CountHeld(value.numel() * sizeof(float));
  if (method() == "full") return Train(name, group, value, /*decay=*/false);
  return {value.to(device_)};
}

Norm Assembler::MakeNorm(const std::string& name, const std::string& group) {
  Norm norm;
  norm.eps = shape_.norm_eps;
  if (!IsSaved(name)) {
    norm.gamma = Base(name + ".weight", group);
    norm.beta = Base(name + ".bias", group);
    return norm;
  }
  out_.saved.push_back(name);
  const at::Tensor& gamma = base_.at(name + ".weight");
  CountHeld(2 * gamma.numel() * sizeof(float));
  norm.gamma = Train(kPeftPrefix + name + ".weight", group, gamma, /*decay=*/false);
  norm.beta = Train(kPeftPrefix + name + ".bias", group, base_.at(name + ".bias"), /*decay=*/false);
  return norm;
}

// Overrides speak of the blocks, as patterns do; skip_modules alone may name the patch embedding.
v1::Quantization Assembler::OwnQuantization(const std::string& module) const {
  v1::Quantization quantization = spec_.quantization();
  if (module == kPatchEmbedding) quantization.clear_overrides();
  return QuantizationOf(module, quantization);
}

absl::Status Assembler::Freeze(const at::Tensor& weight, const at::Tensor& importance,
                               Linear* linear) {
  const v1::Quantization own = OwnQuantization(linear->name);
  if (own.bits() == 0) {
    linear->dense = weight.to(device_, compute_);
    CountHeld(linear->dense.numel() * static_cast<int64_t>(linear->dense.element_size()));
    return absl::OkStatus();
  }
  absl::StatusOr<QuantizedWeight> quantized = QuantizedWeight::Quantize(weight, own, importance);
  if (!quantized.ok()) return Annotate(quantized.status(), linear->name);
  v1::QuantizationFacts& facts = out_.quantization;
  facts.set_layers_quantized(facts.layers_quantized() + 1);
  facts.set_weights_quantized(facts.weights_quantized() + weight.numel());
  v1::LayerError& error = *facts.add_layer_errors();
  error = quantized->Error(weight, linear->name);
  error.set_quant_type(QuantTypeName(own));
  error.set_bits_per_weight(quantized->bits_per_weight());
  quantized_bits_ += quantized->bits_per_weight() * static_cast<double>(weight.numel());
  const int64_t bytes = quantized->payload_bytes() + quantized->scale_bytes();
  if (spec_.training().quantization_aware() && linear->lora) {
    // Of the base alone it says what the format costs; training quantizes the sum.
    linear->lora->requantized = Requantized{weight.to(device_), importance, own};
    linear->dense = at::empty(weight.sizes(), at::device(device_).dtype(compute_));
    CountHeld(weight.numel() * static_cast<int64_t>(sizeof(float) + linear->dense.element_size()));
    return absl::OkStatus();
  }
  CountHeld(bytes);
  linear->quantized = quantized->To(device_);
  linear->int8_products = own.bits() == 8 && own.int8_compute() == "dynamic";
  linear->int8_threshold = own.llm_int8_threshold();
  return absl::OkStatus();
}

absl::StatusOr<Linear> Assembler::MakeLinear(const std::string& name, const std::string& group,
                                             const std::string& norm, uint32_t number) {
  Linear linear;
  linear.name = name;
  linear.compute = compute_;
  const at::Tensor& weight = base_.at(name + ".weight");
  const at::Tensor matrix = weight.view({weight.size(0), -1});
  // PEFT's patterns would take the patch embedding's convolution, too; a spec speaks of blocks.
  const bool in_block = group != kEmbedding;
  const bool saved = in_block && IsSaved(name);
  if (method() == "full" || saved) {
    const std::string prefix = saved ? kPeftPrefix : "";
    if (saved) out_.saved.push_back(name);
    CountHeld((matrix.numel() + (saved ? matrix.size(0) : 0)) * sizeof(float));
    linear.weight = Train(prefix + name + ".weight", group, matrix, /*decay=*/true);
    linear.bias = saved ? Train(prefix + name + ".bias", group, base_.at(name + ".bias"), false)
                        : Base(name + ".bias", group);
    return linear;
  }
  linear.bias = Base(name + ".bias", group);
  // What a layer reads from x = γ z + β has the mean square γ² + β², for z is normalised.
  const at::Tensor importance =
      norm.empty() ? at::Tensor()
                   : base_.at(norm + ".weight").square() + base_.at(norm + ".bias").square();
  if (in_block && IsAdapted(name)) {
    RETURN_IF_ERROR(Adapt(matrix, importance, group, number, &linear));
  } else {
    RETURN_IF_ERROR(Freeze(matrix, importance, &linear));
  }
  return linear;
}

// A ~ kaiming_uniform(a = sqrt 5), which is U(±1/sqrt(in)), and B = 0, as PEFT.
AdapterPair Assembler::DefaultPair(const Linear& linear, int64_t in, int64_t rank,
                                   uint32_t number) const {
  return {DrawUniform({rank, in}, 1 / std::sqrt(static_cast<double>(in)), spec_.seed(),
                      kAdapterTensors + number),
          at::zeros({linear.out_features(), rank}, at::kFloat)};
}

// Freezes the weight, or what the adapter's beginning leaves of it, and adds the adapter.
absl::Status Assembler::Adapt(const at::Tensor& weight, const at::Tensor& importance,
                              const std::string& group, uint32_t number, Linear* linear) {
  const v1::Lora& lora = spec_.lora();
  const int64_t rank = RankOf(linear->name, lora);
  const std::string& init = lora.init_lora_weights();
  linear->lora.emplace();
  LoraAdapter& adapter = *linear->lora;
  adapter.scaling = LoraScaling(AlphaOf(linear->name, lora), rank, lora.use_rslora());
  adapter.dropout_key = MakeKey(spec_.seed(), Purpose::kLoraDropout, number);
  adapter.dropout_threshold = static_cast<uint32_t>(std::lround(lora.dropout() * 65536));

  AdapterPair start = DefaultPair(*linear, weight.size(1), rank, number);
  if (init == "pissa") {
    start = LowRankPair(weight, rank, adapter.scaling);
    RETURN_IF_ERROR(Freeze(weight - AdapterProduct(start, adapter.scaling), importance, linear));
  } else {
    RETURN_IF_ERROR(Freeze(weight, importance, linear));
    if (init == "loftq" && linear->quantized) {
      const at::Tensor error = weight - linear->quantized->Dequantize(at::kFloat).cpu();
      // Weights that come from codes lose nothing, and zeros for both A and B would never learn.
      if (error.any().item<bool>()) start = LowRankPair(error, rank, adapter.scaling);
    }
  }
  const std::string name = kPeftPrefix + linear->name;
  adapter.a = Train(name + ".lora_A.weight", group, start.a, true);
  adapter.b = Train(name + ".lora_B.weight", group, start.b, true);
  if (init != "default") {
    const AccountScope scope(Account::kAdapter);
    out_.starts[linear->name] = {adapter.a.value.clone(), adapter.b.value.clone()};
  }
  out_.adapted.push_back(linear->name);
  return absl::OkStatus();
}

absl::StatusOr<Block> Assembler::MakeBlock(int64_t index) {
  const std::string group = absl::StrCat("blocks.", index), prefix = group + ".";
  Block block;
  block.heads = shape_.heads;
  block.cls_only = index == shape_.depth - 1;
  Linear* linears[] = {&block.qkv, &block.proj, &block.fc1, &block.fc2};
  const std::string norms[] = {prefix + "norm1", "", prefix + "norm2", ""};
  block.norm1 = MakeNorm(prefix + "norm1", group);
  block.norm2 = MakeNorm(prefix + "norm2", group);
  for (int i = 0; i < 4; ++i) {
    ASSIGN_OR_RETURN(*linears[i], MakeLinear(prefix + kBlockLinears[i], group, norms[i],
                                             static_cast<uint32_t>(4 * index + i)));
  }
  return block;
}

// Trained by every method, so never quantized; its product is small, so always fp32.
Linear Assembler::MakeHead() {
  const std::string prefix = method() == "lora" ? kPeftPrefix : "";
  Linear head;
  head.name = "head";
  head.compute = at::kFloat;
  if (method() == "lora") out_.saved.push_back("head");
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
  ASSIGN_OR_RETURN(network.patch_embed, MakeLinear(kPatchEmbedding, kEmbedding));
  network.cls_token = Base("cls_token", kEmbedding);
  network.pos_embed = Base("pos_embed", kEmbedding);
  for (int64_t i = 0; i < shape_.depth; ++i) {
    ASSIGN_OR_RETURN(Block block, MakeBlock(i));
    network.blocks.push_back(std::move(block));
  }
  network.norm = MakeNorm("norm", "head");
  network.head = MakeHead();

  v1::QuantizationFacts& facts = out_.quantization;
  facts.set_bytes_before(out_.total_parameters * static_cast<int64_t>(sizeof(float)));
  facts.set_bytes_after(held_bytes_);
  facts.set_quant_type("none");
  if (!Quantizes(spec_.quantization())) return std::move(out_);
  if (facts.layers_quantized() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("quantization.bits is ", spec_.quantization().bits(),
                     ", but quantization.skip_modules leaves no module to quantize"));
  }
  facts.set_bits_per_weight(quantized_bits_ / static_cast<double>(facts.weights_quantized()));
  ReportMixture();
  return std::move(out_);
}

// The bits and type that all quantized layers share; where they differ, "mixed".
void Assembler::ReportMixture() {
  v1::QuantizationFacts& facts = out_.quantization;
  const std::string& first = facts.layer_errors(0).quant_type();
  bool mixed = false, four = false;
  for (const v1::LayerError& error : facts.layer_errors()) {
    mixed |= error.quant_type() != first;
    four |= error.quant_type() != "int8";
  }
  facts.set_quant_type(mixed ? "mixed" : first);
  if (!mixed) facts.set_bits(four ? 4 : 8);
  if (!four) return;
  facts.set_double_quant(spec_.quantization().double_quant());
  facts.set_blocksize(spec_.quantization().blocksize());
}

}  // namespace

absl::StatusOr<AssembledVit> AssembleVit(const v1::ExperimentSpec& spec, const ModelShape& shape,
                                         int64_t image_size, const Vit::Options& options,
                                         const NamedTensors& base) {
  return Assembler(spec, shape, options, base).Run(image_size);
}

}  // namespace qsweep::engine
