// How well the model does on the evaluation images.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_EVALUATION_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_EVALUATION_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "qsweep/v1/result.pb.h"
#include "worker/engine/data/loader.h"
#include "worker/engine/model/vit.h"

namespace qsweep::engine {

// Counts over batches. The prediction is the largest logit, the lowest class among equals. Loss is
// the mean cross-entropy, without label smoothing. Top-5 counts an image whose label is among the
// five largest logits (always, with five classes or fewer). Precision, recall and F1 are means over
// the classes that occur as label or prediction, 0 where the ratio is 0/0, as scikit-learn's
// average="macro" with zero_division=0.
class EvaluationCounts {
 public:
  explicit EvaluationCounts(int64_t classes);
  // logits fp32 [B, classes], labels int64 [B].
  void Add(const at::Tensor& logits, const at::Tensor& labels);
  v1::Evaluation Result(int64_t epoch) const;

 private:
  int64_t classes_;
  int64_t images_ = 0, top5_ = 0;
  double loss_sum_ = 0;
  struct OfClass {
    int64_t hits = 0, labelled = 0, predicted = 0;
  };
  std::vector<OfClass> of_class_;
  std::vector<int64_t> confusion_;  // [label, prediction]; empty for too many classes to be told
};

// work(begin, end) for all of [0, images), `*batch` at a time. Running out of memory halves
// `*batch` and goes on; with one image it is an error that blames the resources. Cancelled as soon
// as `stop` returns true.
absl::Status ForBatches(int64_t images, int64_t* batch, const std::function<bool()>& stop,
                        const std::function<void(int64_t begin, int64_t end)>& work);

// All of `dataset`, by ForBatches.
absl::StatusOr<v1::Evaluation> Evaluate(const Vit& model, const ImageTransform& transform,
                                        const Dataset& dataset, int64_t epoch, int64_t* batch,
                                        const std::function<bool()>& stop);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_EVALUATION_H_
