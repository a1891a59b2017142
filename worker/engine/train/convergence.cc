#include "worker/engine/train/convergence.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace qsweep::engine {
namespace {

using History = google::protobuf::RepeatedPtrField<v1::EpochFacts>;

constexpr double kNew = 0.3;  // weight of the newest loss in the smoothed one
constexpr size_t kSlopeEpochs = 5;

int64_t FirstWithinOnePercent(const History& history) {
  double best = 0;
  for (const v1::EpochFacts& epoch : history) best = std::max(best, epoch.top1());
  for (int i = 0; i < history.size(); ++i) {
    if (history[i].top1() >= 0.99 * best) return i + 1;
  }
  return 0;
}

double SmoothedSlope(const History& history) {
  std::vector<double> smoothed;
  for (const v1::EpochFacts& epoch : history) {
    smoothed.push_back(smoothed.empty() ? epoch.loss()
                                        : kNew * epoch.loss() + (1 - kNew) * smoothed.back());
  }
  const size_t n = std::min(smoothed.size(), kSlopeEpochs);
  if (n < 2) return 0;
  const double middle = static_cast<double>(n - 1) / 2;
  double products = 0, squares = 0;
  for (size_t i = 0; i < n; ++i) {
    const double x = static_cast<double>(i) - middle;
    products += x * smoothed[smoothed.size() - n + i];
    squares += x * x;
  }
  return products / squares;
}

double Oscillation(const History& history) {
  double travelled = 0;
  for (int i = 1; i < history.size(); ++i) {
    travelled += std::fabs(history[i].loss() - history[i - 1].loss());
  }
  if (travelled == 0) return 0;
  return 1 - std::fabs(history[history.size() - 1].loss() - history[0].loss()) / travelled;
}

int64_t LastBetter(const History& history) {
  int64_t last = 0;
  double least = INFINITY;
  for (int i = 0; i < history.size(); ++i) {
    if (history[i].loss() >= least) continue;
    least = history[i].loss();
    last = i + 1;
  }
  return last;
}

}  // namespace

v1::EpochConvergence ConvergenceOf(const History& history) {
  v1::EpochConvergence convergence;
  convergence.set_epochs_to_1_percent(FirstWithinOnePercent(history));
  convergence.set_loss_slope(SmoothedSlope(history));
  convergence.set_oscillation(Oscillation(history));
  convergence.set_early_stopping_epoch(LastBetter(history));
  return convergence;
}

}  // namespace qsweep::engine
