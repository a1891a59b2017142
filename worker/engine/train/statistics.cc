#include "worker/engine/train/statistics.h"

#include <algorithm>
#include <cmath>

namespace qsweep::engine {

void Add(double value, v1::RunningStatistics* s) {
  s->set_min(s->count() == 0 ? value : std::min(s->min(), value));
  s->set_max(s->count() == 0 ? value : std::max(s->max(), value));
  s->set_count(s->count() + 1);
  const double before = value - s->mean();
  s->set_mean(s->mean() + before / static_cast<double>(s->count()));
  s->set_squared_deviations(s->squared_deviations() + before * (value - s->mean()));
}

void Merge(const v1::RunningStatistics& more, v1::RunningStatistics* s) {
  if (more.count() == 0) return;
  if (s->count() == 0) {
    *s = more;
    return;
  }
  const double n = static_cast<double>(s->count()), m = static_cast<double>(more.count());
  const double apart = more.mean() - s->mean();
  s->set_squared_deviations(s->squared_deviations() + more.squared_deviations() +
                            apart * apart * n * m / (n + m));
  s->set_mean(s->mean() + apart * m / (n + m));
  s->set_min(std::min(s->min(), more.min()));
  s->set_max(std::max(s->max(), more.max()));
  s->set_count(s->count() + more.count());
}

double StandardDeviation(const v1::RunningStatistics& s) {
  if (s.count() < 2) return 0;
  return std::sqrt(s.squared_deviations() / static_cast<double>(s.count() - 1));
}

}  // namespace qsweep::engine
