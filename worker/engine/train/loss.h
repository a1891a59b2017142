// The loss that is minimised.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_LOSS_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_LOSS_H_

#include <ATen/ATen.h>

#include <cstdint>

namespace qsweep::engine {

// log(sum(exp(x))) of n numbers, without overflow.
double LogSumExp(const float* x, int64_t n);

// Cross-entropy with label smoothing ε as torch.nn.CrossEntropyLoss defines it: the target of label
// y among C classes is (1 − ε) · onehot(y) + ε / C. logits fp32 [B, C], labels int64 [B]. Sets
// `loss` to `scale` times the sum of the images' losses and returns its gradient, scale · (softmax
// − target).
at::Tensor CrossEntropyGradient(const at::Tensor& logits, const at::Tensor& labels,
                                double label_smoothing, double scale, double* loss);

// The same with the targets of mixed images in place of onehot(y): fp32 [B, C], each row's sum 1.
at::Tensor MixedCrossEntropyGradient(const at::Tensor& logits, const at::Tensor& targets,
                                     double label_smoothing, double scale, double* loss);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_LOSS_H_
