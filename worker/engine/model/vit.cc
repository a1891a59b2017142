#include "worker/engine/model/vit.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/model/assemble.h"
#include "worker/engine/model/base_tensors.h"
#include "worker/engine/model/peft.h"

namespace qsweep::engine {

struct Vit::Impl {
  v1::ExperimentSpec spec;
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
  const int64_t image_size =
      spec.dataset().image_size() > 0 ? spec.dataset().image_size() : shape.image_size;
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
  impl->patch_size = shape.patch_size;
  ASSIGN_OR_RETURN(impl->parts, AssembleVit(spec, shape, image_size, options.compute, base));
  return std::unique_ptr<Vit>(new Vit(std::move(impl)));
} catch (const c10::Error& error) {
  return absl::InternalError(absl::StrCat("libtorch: ", error.what_without_backtrace()));
}

at::Tensor Vit::Impl::Run(const at::Tensor& images, const ForwardContext& context,
                          NetworkSaved* saved, Workspace& workspace) const {
  const Network& network = parts.network;
  QSWEEP_CHECK(images.dim() == 4 && images.size(1) == 3 && images.size(2) == network.image_size &&
               images.size(3) == network.image_size && images.scalar_type() == at::kFloat);
  return network.Forward(images.contiguous(), context, saved, workspace);
}

at::Tensor Vit::Forward(const at::Tensor& images, const ForwardContext& context) const {
  const AccountScope scope(Account::kActivations);
  Workspace workspace;
  return impl_->Run(images, context, nullptr, workspace);
}

void Vit::AddGradients(const at::Tensor& images, const ForwardContext& context,
                       const LossGradient& loss, Gradients& gradients) const {
  const AccountScope scope(Account::kActivations);
  Workspace workspace;
  NetworkSaved saved;
  const at::Tensor logits = impl_->Run(images, context, &saved, workspace);
  impl_->parts.network.Backward(loss(logits), std::move(saved), gradients, workspace);
}

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

TensorFile Vit::Product() const {
  TensorFile file;
  file.metadata["format"] = "pt";
  for (const TrainableParameter& parameter : trainable()) {
    at::Tensor value = parameter.value.clone();
    if (parameter.name == "patch_embed.proj.weight") {
      value = value.view({value.size(0), 3, impl_->patch_size, impl_->patch_size});
    }
    file.tensors[parameter.name] = value;
  }
  return file;
}

std::string Vit::PeftConfigJson(const std::string& base_model) const {
  return engine::PeftConfigJson(impl_->spec.lora(), adapted_modules(), base_model);
}

}  // namespace qsweep::engine
