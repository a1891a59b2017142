// fp16 holds nothing below 6e-8, where many gradients lie. So the loss is scaled up, and the
// gradients are scaled back: arXiv 1710.03740, section 3.2.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_LOSS_SCALE_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_LOSS_SCALE_H_

#include "qsweep/v1/trainer.pb.h"
#include "worker/engine/model/vit.h"
#include "worker/engine/train/optimizer.h"

namespace qsweep::engine {

// Sets plan->loss_scale to 65536 for a model that computes in fp16 and has none yet.
void BeginLossScale(const Vit& model, v1::StepPlan* plan);

// What this step's loss is to be multiplied with; 1 where nothing is scaled.
double LossScale(const v1::StepPlan& plan);

// Scales the optimizer's gradients back. False if one is not finite: the scale is halved, and the
// step is to be computed anew. After 2,000 steps without that it doubles. (As torch's GradScaler,
// but that it skips the step.) Scales are powers of two, so nothing is rounded.
bool TakeOffLossScale(AdamW& optimizer, v1::StepPlan* plan);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_LOSS_SCALE_H_
