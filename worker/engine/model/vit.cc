#include "worker/engine/model/vit.h"

#include <torch/csrc/autograd/functions/utils.h>

#include <exception>
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
  Workspace workspace;
};

namespace {

// The whole model is one node of autograd's graph: its backward pass is written by hand. Can be
// walked once, like any graph that is not retained.
class VitNode : public torch::autograd::Node {
 public:
  VitNode(const AssembledVit& parts, Workspace& workspace, NetworkSaved saved)
      : parts_(parts), workspace_(workspace), saved_(std::move(saved)) {}

  torch::autograd::variable_list apply(torch::autograd::variable_list&& d_outputs) override {
    QSWEEP_CHECK(saved_.features.defined());
    at::NoGradGuard no_grad;
    Gradients gradients(parts_.trainable.size());
    parts_.network.Backward(d_outputs[0].contiguous(), std::move(saved_), gradients, workspace_);
    return gradients.Release();
  }

  void release_variables() override { saved_ = NetworkSaved(); }

 private:
  const AssembledVit& parts_;
  Workspace& workspace_;
  NetworkSaved saved_;
};

std::vector<at::Tensor> Leaves(const std::vector<TrainableParameter>& trainable) {
  std::vector<at::Tensor> leaves;
  for (const TrainableParameter& parameter : trainable) leaves.push_back(parameter.value);
  return leaves;
}

}  // namespace

Vit::Vit(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Vit::~Vit() = default;

absl::StatusOr<std::unique_ptr<Vit>> Vit::Create(const v1::ExperimentSpec& spec,
                                                 const ModelShape& shape, const Options& options,
                                                 const TensorFile* weights) try {
  at::NoGradGuard no_grad;
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

at::Tensor Vit::Forward(const at::Tensor& images, const ForwardContext& context) {
  const Network& network = impl_->parts.network;
  QSWEEP_CHECK(images.dim() == 4 && images.size(1) == 3 && images.size(2) == network.image_size &&
               images.size(3) == network.image_size && images.scalar_type() == at::kFloat);
  const bool wants_graph = at::GradMode::is_enabled();
  NetworkSaved saved;
  at::Tensor logits;
  {
    at::NoGradGuard no_grad;
    AccountScope scope(Account::kActivations);
    logits = network.Forward(images.contiguous(), context, wants_graph ? &saved : nullptr,
                             impl_->workspace);
  }
  if (!wants_graph) return logits;
  const std::shared_ptr<VitNode> node(new VitNode(impl_->parts, impl_->workspace, std::move(saved)),
                                      torch::autograd::deleteNode);
  node->set_next_edges(torch::autograd::collect_next_edges(Leaves(impl_->parts.trainable)));
  torch::autograd::set_history(logits, node);
  return logits;
}

const std::vector<TrainableParameter>& Vit::trainable() const { return impl_->parts.trainable; }

const std::vector<std::string>& Vit::adapted_modules() const { return impl_->parts.adapted; }

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
    at::Tensor value = parameter.value.detach().clone();
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
