// qtrain eval: how well a model does on a dataset's evaluation images: its weights as they are or
// quantized as the spec says, with or without an adapter.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/proto_json.h"
#include "common/spec/models.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "worker/engine/base/device.h"
#include "worker/engine/data/dataset.h"
#include "worker/engine/model/peft_adapter.h"
#include "worker/engine/model/vit.h"
#include "worker/engine/qtrain/commands.h"
#include "worker/engine/qtrain/spec_options.h"
#include "worker/engine/quant/weight_file.h"
#include "worker/engine/train/evaluation.h"
#include "worker/engine/train/process.h"
#include "worker/engine/train/reporter.h"
#include "worker/engine/train/weights.h"

namespace qsweep::engine {
namespace {

constexpr char kPretrained[] = "pretrained";

struct Options {
  SpecOptions spec;
  std::string adapter;      // directory; empty: none
  std::string head;         // empty: of the weights or adapter, "pretrained" or a file
  std::string head_labels;  // with pretrained: which of its classes the dataset's are
  int64_t batch = 64;
  bool json = false;
};

// A patch embedding saved with the adapter, as PEFT can, takes the place of the weights': the model
// trains its own under no adapter. As every saved module it is not quantized.
void TakeEmbedding(PeftAdapter* adapter, TensorFile* weights, v1::ExperimentSpec* spec) {
  const std::string module = "patch_embed.proj";
  for (const char* part : {".weight", ".bias"}) {
    const auto saved = adapter->saved.extract(module + part);
    if (saved.empty()) continue;
    weights->tensors[saved.key()] = saved.mapped();
    spec->mutable_quantization()->add_skip_modules(module);
  }
}

// The spec of a model with just this adapter: what is not said of a module is LoRA's default.
void Adapt(const PeftAdapter& adapter, v1::ExperimentSpec* spec) {
  v1::Lora& lora = *spec->mutable_lora();
  lora = DefaultSpec().lora();
  lora.clear_target_modules();
  lora.set_use_rslora(adapter.use_rslora);
  for (const auto& [name, module] : adapter.modules) {
    lora.add_target_modules(name);
    lora.add_rank_pattern(absl::StrCat(name, "=", module.rank()));
    lora.add_alpha_pattern(absl::StrFormat("%s=%.17g", name, module.alpha));
  }
  std::set<std::string> saved = {"head"};
  for (const auto& [name, value] : adapter.saved) saved.insert(name.substr(0, name.rfind('.')));
  lora.clear_modules_to_save();
  lora.mutable_modules_to_save()->Add(saved.begin(), saved.end());
  spec->mutable_training()->set_method("lora");
}

// Puts the adapter's values in place; the model was made for it, so what does not fit is named.
absl::Status Load(const PeftAdapter& adapter, const std::string& directory, Vit* model) {
  std::map<std::string, at::Tensor> values;
  for (const auto& [name, module] : adapter.modules) {
    values[absl::StrCat("base_model.model.", name, ".lora_A.weight")] = module.a;
    values[absl::StrCat("base_model.model.", name, ".lora_B.weight")] = module.b;
  }
  for (const auto& [name, value] : adapter.saved) values["base_model.model." + name] = value;
  for (const TrainableParameter& parameter : model->trainable()) {
    const auto it = values.find(parameter.name);
    if (it == values.end()) continue;  // a head that the adapter does not have
    if (it->second.sizes() != parameter.value.sizes()) {
      return absl::InvalidArgumentError(
          absl::StrCat(directory, ": ", parameter.name, ": has another shape than the model's"));
    }
    parameter.value.copy_(it->second);
    values.erase(it);
  }
  model->Requantize();
  if (values.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(directory, ": ", values.begin()->first, ": the model has no place for it"));
}

// The head's rows in the weights; 0: it has none.
int64_t HeadClasses(const TensorFile& weights) {
  const auto head = weights.tensors.find("head.weight");
  return head == weights.tensors.end() || head->second.dim() != 2 ? 0 : head->second.size(0);
}

// Numbers the images' labels as the head does.
absl::Status Relabel(const std::string& text, int64_t head_classes, Dataset* data) {
  std::vector<int64_t> of_head;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    int64_t label = -1;
    if (!absl::SimpleAtoi(part, &label) || label < 0 || label >= head_classes) {
      return absl::InvalidArgumentError(
          absl::StrCat("--head-labels: ", part, ": the head has 0 to ", head_classes - 1));
    }
    if (std::find(of_head.begin(), of_head.end(), label) != of_head.end()) {
      return absl::InvalidArgumentError(absl::StrCat("--head-labels: ", part, " is there twice"));
    }
    of_head.push_back(label);
  }
  if (of_head.empty() && data->classes == head_classes) {
    for (int64_t i = 0; i < data->classes; ++i) of_head.push_back(i);
  }
  if (static_cast<int64_t>(of_head.size()) != data->classes) {
    return absl::InvalidArgumentError(
        absl::StrCat("--head-labels: the dataset has ", data->classes, " classes, the head ",
                     head_classes, "; name the head's label of each class, as 0,217,482"));
  }
  for (int32_t& label : data->labels) label = static_cast<int32_t>(of_head[label]);
  data->classes = head_classes;
  return absl::OkStatus();
}

// Where the classes' weights come from.
absl::Status SettleHead(const Options& options, const PeftAdapter* adapter, TensorFile* weights,
                        Dataset* data) {
  const bool in_adapter = adapter != nullptr && adapter->saved.count("head.weight") > 0;
  if (in_adapter && !options.head.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--head ", options.head, ": the adapter has a head of its own"));
  }
  if (options.head == kPretrained) {
    if (HeadClasses(*weights) == 0) {
      return absl::InvalidArgumentError("--head pretrained: the weights have no head");
    }
    return Relabel(options.head_labels, HeadClasses(*weights), data);
  }
  if (!options.head_labels.empty()) {
    return absl::InvalidArgumentError("--head-labels: needs --head pretrained");
  }
  if (!options.head.empty()) {
    ASSIGN_OR_RETURN(const TensorFile head, ReadTensorFile(options.head));
    for (const char* name : {"head.weight", "head.bias"}) {
      if (head.tensors.count(name) == 0) {
        return absl::InvalidArgumentError(absl::StrCat(options.head, ": has no ", name));
      }
      weights->tensors[name] = head.tensors.at(name);
    }
  }
  if (in_adapter || HeadClasses(*weights) == data->classes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the head has ", HeadClasses(*weights), " classes, the dataset ", data->classes,
      "; give --adapter, --head FILE (a linear probe's head.safetensors) or --head pretrained"));
}

absl::StatusOr<v1::Evaluation> EvaluateSpec(const Options& options, v1::ExperimentSpec spec) {
  RETURN_IF_ERROR(CheckBitsChosen(spec));
  RETURN_IF_ERROR(UseDevice(options.spec.device));
  ConfigureThreads(options.spec.threads);
  ASSIGN_OR_RETURN(Dataset data, LoadDataset(spec.dataset(), options.spec.data_root, Split::kTest));
  ASSIGN_OR_RETURN(const std::string file,
                   FindWeights(spec.model(), options.spec.model_root, options.spec.weights_file));
  if (file.empty())
    return absl::InvalidArgumentError("model.pretrained: random weights say nothing");
  ASSIGN_OR_RETURN(TensorFile weights, ReadWeightFile(file));
  PeftAdapter adapter;
  const bool adapted = !options.adapter.empty();
  if (adapted) {
    ASSIGN_OR_RETURN(adapter, ReadPeftAdapter(options.adapter));
    TakeEmbedding(&adapter, &weights, &spec);
    Adapt(adapter, &spec);
  } else {
    spec.mutable_training()->set_method("linear_probe");
    spec.mutable_training()->set_quantization_aware(false);
  }
  RETURN_IF_ERROR(SettleHead(options, adapted ? &adapter : nullptr, &weights, &data));
  const ModelShape& shape = *FindModel(spec.model().name());
  const Vit::Options made = {.compute = ChooseComputeType(spec).type, .classes = data.classes};
  absl::StatusOr<std::unique_ptr<Vit>> model = Vit::Create(spec, shape, made, &weights);
  if (!model.ok()) return Annotate(model.status(), file);
  if (adapted) RETURN_IF_ERROR(Load(adapter, options.adapter, model->get()));
  const ImageTransform transform(shape, spec.dataset().image_size(), data);
  int64_t batch = options.batch;
  return Evaluate(**model, transform, data, /*epoch=*/0, &batch, [] { return false; });
}

absl::Status Eval(const Options& options) {
  ASSIGN_OR_RETURN(const v1::ExperimentSpec spec, options.spec.Load());
  ASSIGN_OR_RETURN(const v1::Evaluation evaluation, EvaluateSpec(options, spec));
  if (options.json) {
    std::puts(ToJson(evaluation, JsonStyle::kPretty).c_str());
    return absl::OkStatus();
  }
  Say(absl::StrFormat("%d images: loss %.4f  top-1 %.2f %%  top-5 %.2f %%  macro F1 %.4f",
                      evaluation.images(), evaluation.loss(), 100 * evaluation.top1(),
                      100 * evaluation.top5(), evaluation.macro_f1()));
  return absl::OkStatus();
}

}  // namespace

void AddEval(Command program, Action* action) {
  const auto o = std::make_shared<Options>();
  Command command = program.AddCommand(
      "eval", "Evaluate a model: weights, quantized as the spec says, with an adapter or not",
      [o, action] { *action = [o] { return Eval(*o); }; });
  o->spec.AddTo(command);
  command.AddOption("--adapter", &o->adapter, "directory of adapter_model.safetensors");
  command.AddOption("--head", &o->head,
                    "pretrained: the weights' own, whatever the dataset's classes; or a file of "
                    "head.weight and head.bias");
  command.AddOption("--head-labels", &o->head_labels,
                    "the pretrained head's label of each class of the dataset, as 0,217,482");
  command.AddOption("--batch", &o->batch, "images at a time").Between(int64_t{1}, int64_t{65536});
  command.AddFlag("--json", &o->json, "print qsweep.v1.Evaluation, with the confusion table");
}

}  // namespace qsweep::engine
