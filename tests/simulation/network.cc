#include "tests/simulation/network.h"

#include <utility>

namespace qsweep::simulation {

void Pipe::Put(std::function<void()> deliver, bool numbered) {
  if (cut_) return;
  if (numbered && random_.Chance(weather_.doubled)) Add(deliver, numbered);
  Add(std::move(deliver), numbered);
}

void Pipe::Add(std::function<void()> deliver, bool numbered) {
  last_ready_ = std::max(last_ready_, timeline_.now() + random_.Within({}, weather_.latency));
  under_way_.push_back({last_ready_, std::move(deliver), numbered});
  const size_t last = under_way_.size() - 1;
  if (last > 0 && numbered && under_way_[last - 1].numbered && random_.Chance(weather_.swapped)) {
    std::swap(under_way_[last].deliver, under_way_[last - 1].deliver);
  }
  Schedule(under_way_.front().ready);
}

void Pipe::Schedule(Time when) {
  if (std::exchange(scheduled_, true)) return;
  timeline_.At(when, [self = shared_from_this()] { self->Pump(); });
}

void Pipe::Pump() {
  scheduled_ = false;
  while (!under_way_.empty() && !cut_) {
    const Time when = std::max(under_way_.front().ready, blocked_until_);
    if (when > timeline_.now()) return Schedule(when);
    const std::function<void()> deliver = std::move(under_way_.front().deliver);
    under_way_.pop_front();
    deliver();
  }
}

}  // namespace qsweep::simulation
