// Time and chance of a simulation: nothing in it asks a real clock or a real source of randomness,
// so a seed replays a run exactly.
#ifndef QSWEEP_TESTS_SIMULATION_TIMELINE_H_
#define QSWEEP_TESTS_SIMULATION_TIMELINE_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "absl/time/time.h"
#include "common/clock.h"

namespace qsweep::simulation {

using Time = absl::Duration;  // since the simulation began

// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine and library.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // 0 <= result < n.
  int64_t Below(int64_t n) { return static_cast<int64_t>(Next() % static_cast<uint64_t>(n)); }
  bool Chance(double p) { return static_cast<double>(Next() >> 11) * 0x1p-53 < p; }
  Time Within(Time least, Time most) {
    return least + absl::Microseconds(Below(absl::ToInt64Microseconds(most - least) + 1));
  }

 private:
  uint64_t state_;
};

// What is to happen, in the order of its time, then of its scheduling.
class Timeline {
 public:
  Time now() const { return now_; }
  int64_t events() const { return events_; }
  // Depends on all that happened so far, and when.
  uint64_t fingerprint() const { return fingerprint_; }

  void At(Time time, std::function<void()> what) {
    agenda_.emplace(std::pair(std::max(time, now_), ++scheduled_), std::move(what));
  }
  void After(Time delay, std::function<void()> what) { At(now_ + delay, std::move(what)); }
  // The next event; false, and the time is `until`, if there is none before.
  bool Step(Time until) {
    if (agenda_.empty() || agenda_.begin()->first.first >= until) {
      now_ = std::max(now_, until);
      return false;
    }
    auto event = agenda_.extract(agenda_.begin());
    now_ = event.key().first;
    ++events_;
    Mix(static_cast<uint64_t>(absl::ToInt64Nanoseconds(now_)));
    Mix(static_cast<uint64_t>(event.key().second));
    event.mapped()();
    return true;
  }

 private:
  void Mix(uint64_t value) { fingerprint_ = (fingerprint_ ^ value) * 0x100000001b3; }

  Time now_;
  int64_t scheduled_ = 0;
  int64_t events_ = 0;
  uint64_t fingerprint_ = 0xcbf29ce484222325;
  std::map<std::pair<Time, int64_t>, std::function<void()>> agenda_;
};

// What one process sees: monotonic time from an origin of its own, as after a reboot.
class ProcessClock : public Clock {
 public:
  ProcessClock(const Timeline& timeline, Time origin) : timeline_(timeline), origin_(origin) {}
  Time Monotonic() const override { return timeline_.now() + origin_; }
  int64_t UnixMicros() const override {
    return 1'700'000'000'000'000 + absl::ToInt64Microseconds(timeline_.now());
  }

 private:
  const Timeline& timeline_;
  const Time origin_;
};

}  // namespace qsweep::simulation

#endif  // QSWEEP_TESTS_SIMULATION_TIMELINE_H_
