#include "worker/engine/train/merged.h"

#include <memory>

#include "common/spec/models.h"
#include "common/status.h"
#include "worker/engine/train/evaluation.h"
#include "worker/engine/train/setup.h"

namespace qsweep::engine {

absl::Status EvaluateMerged(const v1::ExperimentSpec& spec, const ComputeType& compute,
                            const Vit& model, const ImageTransform& transform, const Dataset& data,
                            int64_t batch, const std::function<bool()>& stop,
                            v1::RunResult* result) {
  const TensorFile merged = model.Merged();
  const Vit::Options options = {.compute = compute.type, .classes = data.classes};
  const ModelShape& shape = *FindModel(spec.model().name());
  v1::ExperimentSpec plain = BaseOf(spec);
  const auto evaluate = [&](v1::Evaluation* evaluation) -> absl::Status {
    ASSIGN_OR_RETURN(const std::unique_ptr<Vit> vit, Vit::Create(plain, shape, options, &merged));
    ASSIGN_OR_RETURN(*evaluation,
                     Evaluate(*vit, transform, data, result->best_epoch(), &batch, stop));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(evaluate(result->mutable_requantized()));
  plain.mutable_quantization()->set_bits(0);
  plain.mutable_quantization()->set_double_quant(false);
  plain.mutable_quantization()->clear_overrides();
  return evaluate(result->mutable_merged());
}

}  // namespace qsweep::engine
