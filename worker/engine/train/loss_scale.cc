#include "worker/engine/train/loss_scale.h"

#include <cmath>

#include "worker/engine/train/gradient_stats.h"

namespace qsweep::engine {
namespace {

constexpr double kFirstScale = 65536;
constexpr int64_t kStepsToDouble = 2000;

}  // namespace

void BeginLossScale(const Vit& model, v1::StepPlan* plan) {
  if (model.compute() == at::kHalf && plan->loss_scale() == 0) plan->set_loss_scale(kFirstScale);
}

double LossScale(const v1::StepPlan& plan) { return plan.loss_scale() > 0 ? plan.loss_scale() : 1; }

bool TakeOffLossScale(AdamW& optimizer, v1::StepPlan* plan) {
  const double scale = LossScale(*plan);
  if (plan->loss_scale() == 0) return true;
  const bool finite = std::isfinite(GlobalNorm(SquaredGradientNorms(optimizer.slots())));
  if (!finite && scale > 1) {
    plan->set_loss_scale(scale / 2);
    plan->set_steps_at_loss_scale(0);
    return false;
  }
  for (const AdamW::Slot& slot : optimizer.slots()) slot.gradient.mul_(1 / scale);
  plan->set_steps_at_loss_scale(plan->steps_at_loss_scale() + 1);
  if (plan->steps_at_loss_scale() == kStepsToDouble) {
    plan->set_loss_scale(2 * scale);
    plan->set_steps_at_loss_scale(0);
  }
  return true;
}

}  // namespace qsweep::engine
