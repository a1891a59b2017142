#include "worker/engine/train/evaluation.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/train/blame.h"
#include "worker/engine/train/loss.h"
#include "worker/engine/train/step.h"

namespace qsweep::engine {
namespace {

// A table of more classes would outgrow the event it is sent in.
constexpr int64_t kMostConfused = 256;

double Ratio(double part, double whole) { return whole == 0 ? 0 : part / whole; }

}  // namespace

EvaluationCounts::EvaluationCounts(int64_t classes)
    : classes_(classes),
      of_class_(classes),
      confusion_(classes <= kMostConfused ? classes * classes : 0) {}

void EvaluationCounts::Add(const at::Tensor& logits, const at::Tensor& labels) {
  const at::Tensor rows = logits.contiguous();
  const float* row = rows.data_ptr<float>();
  for (int64_t i = 0; i < rows.size(0); ++i, row += classes_) {
    const int64_t label = labels.data_ptr<int64_t>()[i];
    const int64_t prediction = std::max_element(row, row + classes_) - row;
    int64_t above = 0;  // classes that come before the label
    for (int64_t c = 0; c < classes_; ++c) {
      above += row[c] > row[label] || (row[c] == row[label] && c < label);
    }
    ++of_class_[label].labelled;
    ++of_class_[prediction].predicted;
    of_class_[label].hits += prediction == label;
    if (!confusion_.empty()) ++confusion_[label * classes_ + prediction];
    top5_ += above < 5;
    loss_sum_ += LogSumExp(row, classes_) - row[label];
    ++images_;
  }
}

v1::Evaluation EvaluationCounts::Result(int64_t epoch) const {
  v1::Evaluation result;
  double correct = 0, precision = 0, recall = 0, f1 = 0, occurring = 0;
  for (const OfClass& c : of_class_) {
    const auto hits = static_cast<double>(c.hits), labelled = static_cast<double>(c.labelled),
               predicted = static_cast<double>(c.predicted);
    correct += hits;
    precision += Ratio(hits, predicted);
    recall += Ratio(hits, labelled);
    f1 += Ratio(2 * hits, labelled + predicted);
    occurring += labelled + predicted > 0;
  }
  const double images = static_cast<double>(images_);
  result.set_epoch(epoch);
  result.set_images(images_);
  result.set_loss(Ratio(loss_sum_, images));
  result.set_top1(Ratio(correct, images));
  result.set_top5(Ratio(static_cast<double>(top5_), images));
  result.set_macro_precision(Ratio(precision, occurring));
  result.set_macro_recall(Ratio(recall, occurring));
  result.set_macro_f1(Ratio(f1, occurring));
  result.mutable_confusion()->Add(confusion_.begin(), confusion_.end());
  return result;
}

absl::Status ForBatches(int64_t images, int64_t* batch, const std::function<bool()>& stop,
                        const std::function<void(int64_t begin, int64_t end)>& work) {
  for (int64_t begin = 0; begin < images;) {
    if (stop()) return absl::CancelledError("told to stop");
    const int64_t end = std::min(begin + *batch, images);
    try {
      const AccountScope scope(Account::kActivations);
      work(begin, end);
      begin = end;
    } catch (const OutOfMemory& error) {
      if (*batch == 1) {
        return Blamed(absl::ResourceExhaustedError(
                          absl::StrCat("evaluation of a single image: ", error.what())),
                      v1::BLAME_RESOURCES);
      }
      *batch = (*batch + 1) / 2;
      ReleaseCached();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Evaluation> Evaluate(const Vit& model, const ImageTransform& transform,
                                        const Dataset& dataset, int64_t epoch, int64_t* batch,
                                        const std::function<bool()>& stop) {
  EvaluationCounts counts(dataset.classes);
  RETURN_IF_ERROR(ForBatches(dataset.size(), batch, stop, [&](int64_t begin, int64_t end) {
    const Batch images = EvaluationBatch(transform, dataset, begin, end);
    counts.Add(Logits(model, images.images), images.labels);
  }));
  return counts.Result(epoch);
}

}  // namespace qsweep::engine
