#include "worker/engine/train/loss.h"

#include <algorithm>
#include <cmath>

#include "common/status.h"

namespace qsweep::engine {

at::Tensor CrossEntropyGradient(const at::Tensor& logits, const at::Tensor& labels,
                                double label_smoothing, double scale, double* loss) {
  const int64_t images = logits.size(0), classes = logits.size(1);
  QSWEEP_CHECK(logits.is_contiguous() && logits.scalar_type() == at::kFloat);
  const at::Tensor gradient = at::empty_like(logits);
  const double everywhere = label_smoothing / static_cast<double>(classes);
  double sum = 0;
  for (int64_t i = 0; i < images; ++i) {
    const float* x = logits.data_ptr<float>() + i * classes;
    float* dx = gradient.data_ptr<float>() + i * classes;
    const int64_t label = labels.data_ptr<int64_t>()[i];
    QSWEEP_CHECK(label >= 0 && label < classes);
    const double largest = *std::max_element(x, x + classes);
    double exponentials = 0;
    for (int64_t c = 0; c < classes; ++c) exponentials += std::exp(x[c] - largest);
    const double log_sum = largest + std::log(exponentials);
    for (int64_t c = 0; c < classes; ++c) {
      const double target = everywhere + (c == label ? 1 - label_smoothing : 0);
      sum += target * (log_sum - x[c]);
      dx[c] = static_cast<float>(scale * (std::exp(x[c] - log_sum) - target));
    }
  }
  *loss = scale * sum;
  return gradient;
}

}  // namespace qsweep::engine
