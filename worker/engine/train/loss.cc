#include "worker/engine/train/loss.h"

#include <algorithm>
#include <cmath>

#include "common/status.h"

namespace qsweep::engine {
namespace {

// `share(image, c)`: of class c in the target before smoothing.
template <typename Share>
at::Tensor GradientFor(const at::Tensor& logits, const Share& share, double label_smoothing,
                       double scale, double* loss) {
  const int64_t images = logits.size(0), classes = logits.size(1);
  QSWEEP_CHECK(logits.is_contiguous() && logits.scalar_type() == at::kFloat);
  const at::Tensor gradient = at::empty_like(logits);
  const double everywhere = label_smoothing / static_cast<double>(classes);
  double sum = 0;
  for (int64_t i = 0; i < images; ++i) {
    const float* x = logits.data_ptr<float>() + i * classes;
    float* dx = gradient.data_ptr<float>() + i * classes;
    const double log_sum = LogSumExp(x, classes);
    for (int64_t c = 0; c < classes; ++c) {
      const double target = everywhere + (1 - label_smoothing) * share(i, c);
      sum += target * (log_sum - x[c]);
      dx[c] = static_cast<float>(scale * (std::exp(x[c] - log_sum) - target));
    }
  }
  *loss = scale * sum;
  return gradient;
}

}  // namespace

double LogSumExp(const float* x, int64_t n) {
  const double largest = *std::max_element(x, x + n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - largest);
  return largest + std::log(sum);
}

at::Tensor CrossEntropyGradient(const at::Tensor& logits, const at::Tensor& labels,
                                double label_smoothing, double scale, double* loss) {
  const int64_t* const of = labels.data_ptr<int64_t>();
  for (int64_t i = 0; i < logits.size(0); ++i) {
    QSWEEP_CHECK(of[i] >= 0 && of[i] < logits.size(1));
  }
  const auto share = [of](int64_t image, int64_t c) { return c == of[image] ? 1.0 : 0.0; };
  return GradientFor(logits, share, label_smoothing, scale, loss);
}

at::Tensor MixedCrossEntropyGradient(const at::Tensor& logits, const at::Tensor& targets,
                                     double label_smoothing, double scale, double* loss) {
  QSWEEP_CHECK(targets.is_contiguous() && targets.sizes() == logits.sizes());
  const float* const of = targets.data_ptr<float>();
  const int64_t classes = logits.size(1);
  const auto share = [of, classes](int64_t image, int64_t c) {
    return static_cast<double>(of[image * classes + c]);
  };
  return GradientFor(logits, share, label_smoothing, scale, loss);
}

}  // namespace qsweep::engine
