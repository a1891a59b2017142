#include "worker/engine/train/optimizer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "common/status.h"
#include "worker/engine/base/allocator.h"

namespace qsweep::engine {
namespace {

constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;
constexpr double kEps = 1e-8;
constexpr int64_t kGrain = 1 << 15;

struct Coefficients {
  float keep;        // 1 - learning rate * decay
  float step_size;   // learning rate / (1 - beta1^t)
  float root_scale;  // 1 / sqrt(1 - beta2^t)
  float gradient_scale;
};

// Without errno the square root vectorizes.
[[gnu::optimize("no-math-errno")]] void UpdateRange(const Coefficients& c, int64_t n,
                                                    const float* __restrict gradient,
                                                    float* __restrict first,
                                                    float* __restrict second,
                                                    float* __restrict value) {
  constexpr float beta1 = kBeta1, beta2 = kBeta2, eps = kEps;
  constexpr float new1 = 1 - kBeta1, new2 = 1 - kBeta2;  // 1 - beta2 in fp32 is off by 1.3e-5
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient[i] * c.gradient_scale;
    first[i] = beta1 * first[i] + new1 * g;
    second[i] = beta2 * second[i] + new2 * g * g;
    value[i] =
        c.keep * value[i] - c.step_size * first[i] / (std::sqrt(second[i]) * c.root_scale + eps);
  }
}

// The same off the CPU.
void UpdateByTensors(const Coefficients& c, const AdamW::Slot& slot) {
  const at::Tensor g = slot.gradient * c.gradient_scale;
  slot.first_moment.mul_(kBeta1).add_(g, 1 - kBeta1);
  slot.second_moment.mul_(kBeta2).addcmul_(g, g, 1 - kBeta2);
  const at::Tensor root = slot.second_moment.sqrt().mul_(c.root_scale).add_(kEps);
  slot.parameter.value.mul_(c.keep).addcdiv_(slot.first_moment, root, -c.step_size);
}

}  // namespace

AdamW::AdamW(const std::vector<TrainableParameter>& parameters, double weight_decay)
    : weight_decay_(weight_decay) {
  for (const TrainableParameter& parameter : parameters) {
    QSWEEP_CHECK(parameter.value.is_contiguous() && parameter.value.scalar_type() == at::kFloat);
    Slot slot;
    slot.parameter = parameter;
    {
      const AccountScope scope(Account::kGradients);
      slot.gradient = at::zeros_like(parameter.value);
    }
    const AccountScope scope(Account::kOptimizer);
    slot.first_moment = at::zeros_like(parameter.value);
    slot.second_moment = at::zeros_like(parameter.value);
    slots_.push_back(std::move(slot));
  }
}

void AdamW::ZeroGradients() {
  for (Slot& slot : slots_) slot.gradient.zero_();
}

void AdamW::Update(int64_t step, double learning_rate, double gradient_scale) {
  const double t = static_cast<double>(step);
  Coefficients c;
  c.step_size = static_cast<float>(learning_rate / (1 - std::pow(kBeta1, t)));
  c.root_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(kBeta2, t)));
  c.gradient_scale = static_cast<float>(gradient_scale);
  for (Slot& slot : slots_) {
    const double decay = slot.parameter.decay ? weight_decay_ : 0;
    c.keep = static_cast<float>(1 - learning_rate * decay);
    if (!slot.gradient.is_cpu()) {
      UpdateByTensors(c, slot);
      continue;
    }
    const float* gradient = slot.gradient.data_ptr<float>();
    float* first = slot.first_moment.data_ptr<float>();
    float* second = slot.second_moment.data_ptr<float>();
    float* value = slot.parameter.value.data_ptr<float>();
    at::parallel_for(0, slot.gradient.numel(), kGrain, [&](int64_t begin, int64_t end) {
      UpdateRange(c, end - begin, gradient + begin, first + begin, second + begin, value + begin);
    });
  }
}

double ClipFactor(double norm, double max_norm) {
  if (max_norm == 0) return 1;
  return std::min(1.0, max_norm / (norm + 1e-6));
}

}  // namespace qsweep::engine
