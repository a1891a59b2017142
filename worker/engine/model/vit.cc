#include "worker/engine/model/vit.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/spec/pairs.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/base/device.h"
#include "worker/engine/model/assemble.h"
#include "worker/engine/model/base_tensors.h"
#include "worker/engine/model/peft.h"

namespace qsweep::engine {
namespace {

// A device's want of memory has exceptions of its own.
template <typename Work>
auto WithOwnOutOfMemory(const Work& work) {
  try {
    return work();
  } catch (const c10::Error& error) {
    if (!IsOutOfMemory(error)) throw;
    throw OutOfMemory(error.what_without_backtrace());
  }
}

}  // namespace

struct Vit::Impl {
  v1::ExperimentSpec spec;
  Options options;
  int64_t patch_size = 0;
  AssembledVit parts;

  at::Tensor Run(const at::Tensor& images, const ForwardContext& context, NetworkSaved* saved,
                 Workspace& workspace) const;
};

Vit::Vit(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Vit::~Vit() = default;

absl::StatusOr<std::unique_ptr<Vit>> Vit::Create(const v1::ExperimentSpec& spec,
                                                 const ModelShape& shape, const Options& options,
                                                 const TensorFile* weights) try {
  const int64_t image_size = ImageSize(spec, shape);
  if (image_size % shape.patch_size != 0) {
    return absl::InvalidArgumentError(absl::StrCat("dataset.image_size: ", image_size,
                                                   " is no multiple of ", shape.name, "'s patch, ",
                                                   shape.patch_size));
  }
  AccountScope scope(Account::kWeights);
  NamedTensors base;
  if (weights != nullptr) {
    ASSIGN_OR_RETURN(base, LoadBase(*weights, shape, image_size, options.classes, spec.seed()));
  } else {
    base = DrawBase(shape, image_size, options.classes, spec.seed());
  }
  auto impl = std::make_unique<Impl>();
  impl->spec = spec;
  impl->options = options;
  impl->patch_size = shape.patch_size;
  ASSIGN_OR_RETURN(impl->parts, WithOwnOutOfMemory([&] {
                     return AssembleVit(spec, shape, image_size, options, base);
                   }));
  std::unique_ptr<Vit> vit(new Vit(std::move(impl)));
  WithOwnOutOfMemory([&] { vit->Requantize(); });
  return vit;
} catch (const c10::Error& error) {
  return absl::InternalError(absl::StrCat("libtorch: ", error.what_without_backtrace()));
}

at::Tensor Vit::Impl::Run(const at::Tensor& images, const ForwardContext& context,
                          NetworkSaved* saved, Workspace& workspace) const {
  const Network& network = parts.network;
  QSWEEP_CHECK(images.dim() == 4 && images.size(1) == 3 && images.size(2) == network.image_size &&
               images.size(3) == network.image_size &&
               (images.scalar_type() == at::kFloat || images.scalar_type() == network.compute));
  return network.Forward(images.contiguous().to(options.device), context, saved, workspace);
}

at::Tensor Vit::Forward(const at::Tensor& images, const ForwardContext& context) const {
  return WithOwnOutOfMemory([&] {
    const AccountScope scope(Account::kActivations);
    Workspace workspace(device());
    return impl_->Run(images, context, nullptr, workspace).cpu();
  });
}

void Vit::AddGradients(const at::Tensor& images, const ForwardContext& context,
                       const LossGradient& loss, Gradients& gradients) const {
  WithOwnOutOfMemory([&] {
    const AccountScope scope(Account::kActivations);
    Workspace workspace(device());
    NetworkSaved saved;
    const at::Tensor logits = impl_->Run(images, context, &saved, workspace).cpu();
    impl_->parts.network.Backward(loss(logits).to(device()), std::move(saved), gradients,
                                  workspace);
  });
}

at::ScalarType Vit::compute() const { return impl_->options.compute; }

at::Device Vit::device() const { return impl_->options.device; }

const std::vector<TrainableParameter>& Vit::trainable() const { return impl_->parts.trainable; }

const std::vector<std::string>& Vit::adapted_modules() const { return impl_->parts.adapted; }

int64_t Vit::tokens() const { return impl_->parts.network.tokens(); }

int64_t Vit::total_parameters() const { return impl_->parts.total_parameters; }

int64_t Vit::trainable_parameters() const {
  int64_t count = 0;
  for (const TrainableParameter& parameter : trainable()) count += parameter.value.numel();
  return count;
}

const v1::QuantizationFacts& Vit::quantization() const { return impl_->parts.quantization; }

void Vit::Requantize() {
  for (Block& block : impl_->parts.network.blocks) {
    for (Linear* linear : {&block.qkv, &block.proj, &block.fc1, &block.fc2}) linear->Requantize();
  }
}

std::vector<std::string> Vit::DeadAdapters() const {
  constexpr double kDead = 1e-3;
  std::vector<std::pair<double, std::string>> changes;
  for (const Block& block : impl_->parts.network.blocks) {
    for (const Linear* linear : {&block.qkv, &block.proj, &block.fc1, &block.fc2}) {
      if (!linear->lora) continue;
      const auto start = impl_->parts.starts.find(linear->name);
      const bool started = start != impl_->parts.starts.end();
      changes.emplace_back(
          AdapterChangeNorm({linear->lora->a.value, linear->lora->b.value},
                            started ? start->second : AdapterPair(), linear->lora->scaling),
          linear->name);
    }
  }
  std::vector<std::string> dead;
  if (changes.empty()) return dead;
  std::vector<std::pair<double, std::string>> sorted = changes;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[sorted.size() / 2].first;
  for (const auto& [change, name] : changes) {
    if (!(change > kDead * median)) dead.push_back(name);
  }
  return dead;
}

namespace {

// A copy of its own.
at::Tensor ToFile(const at::Tensor& t) {
  return t.to(at::kCPU, t.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
}

}  // namespace

TensorFile Vit::Merged() const {
  const Network& network = impl_->parts.network;
  TensorFile file;
  file.metadata["format"] = "pt";
  const auto add = [&file](const std::string& name, const at::Tensor& weight,
                           const at::Tensor& bias) {
    file.tensors[name + ".weight"] = ToFile(weight);
    file.tensors[name + ".bias"] = ToFile(bias);
  };
  const int64_t dim = network.pos_embed.value.size(2), patch = impl_->patch_size;
  file.tensors["cls_token"] = ToFile(network.cls_token.value);
  file.tensors["pos_embed"] = ToFile(network.pos_embed.value);
  add("patch_embed.proj", network.patch_embed.Merged().view({dim, 3, patch, patch}),
      network.patch_embed.bias.value);
  for (size_t i = 0; i < network.blocks.size(); ++i) {
    const Block& block = network.blocks[i];
    const std::string prefix = absl::StrCat("blocks.", i, ".");
    add(prefix + "norm1", block.norm1.gamma.value, block.norm1.beta.value);
    add(prefix + "norm2", block.norm2.gamma.value, block.norm2.beta.value);
    for (const Linear* linear : {&block.qkv, &block.proj, &block.fc1, &block.fc2}) {
      add(linear->name, linear->Merged(), linear->bias.value);
    }
  }
  add("norm", network.norm.gamma.value, network.norm.beta.value);
  add("head", network.head.Merged(), network.head.bias.value);
  return file;
}

TensorFile Vit::Product() const {
  TensorFile file;
  file.metadata["format"] = "pt";
  for (const TrainableParameter& parameter : trainable()) {
    at::Tensor value = parameter.value.cpu();
    if (parameter.name == "patch_embed.proj.weight") {
      value = value.view({value.size(0), 3, impl_->patch_size, impl_->patch_size});
    }
    file.tensors[parameter.name] = value;
  }
  if (!FromPissa()) return file;
  for (const auto& [module, start] : impl_->parts.starts) {
    const std::string name = absl::StrCat("base_model.model.", module);
    at::Tensor& a = file.tensors[name + ".lora_A.weight"];
    at::Tensor& b = file.tensors[name + ".lora_B.weight"];
    a = at::cat({a, start.a.cpu()}, 0);
    b = at::cat({b, -start.b.cpu()}, 1);
  }
  return file;
}

bool Vit::FromPissa() const { return impl_->spec.lora().init_lora_weights() == "pissa"; }

std::string Vit::PeftConfigJson(const std::string& base_model) const {
  const v1::Lora& lora = impl_->spec.lora();
  std::vector<AdaptedModule> modules;
  for (const std::string& name : adapted_modules()) {
    modules.push_back({name, RankOf(name, lora), AlphaOf(name, lora)});
    if (!FromPissa()) continue;
    modules.back().rank *= 2;  // and alpha so that the scaling stays
    modules.back().alpha *= lora.use_rslora() ? std::sqrt(2.0) : 2;
  }
  return engine::PeftConfigJson(lora, modules, impl_->parts.saved, base_model);
}

}  // namespace qsweep::engine
