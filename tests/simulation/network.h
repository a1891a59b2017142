// The network between the scheduler and the others. Streams keep the order of their messages and
// lose nothing but what is under way when they break, as TCP does; calls can be executed though
// their caller sees a timeout, and long after it. Beyond what a network does, messages that the
// protocol numbers (events, ends and their acknowledgements) are doubled and swapped on request.
#ifndef QSWEEP_TESTS_SIMULATION_NETWORK_H_
#define QSWEEP_TESTS_SIMULATION_NETWORK_H_

#include <deque>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "tests/simulation/timeline.h"

namespace qsweep::simulation {

// How often what goes wrong; drawn anew for every seed, so that seeds differ in kind.
struct Weather {
  Time latency;           // at most, one way
  double doubled = 0;     // of the numbered messages
  double swapped = 0;     // likewise
  double call_lost = 0;   // of the calls, before they are executed
  double reply_lost = 0;  // after
  double call_again = 0;  // executed a second time, later
};

// The cable of one machine. Nothing passes in a direction that is blocked; it waits.
struct Link {
  Time up_blocked_until;    // towards the scheduler
  Time down_blocked_until;  // from it
};

// One direction of a stream.
class Pipe : public std::enable_shared_from_this<Pipe> {
 public:
  // All outlive the pipe, which lives as long as something is under way.
  Pipe(Timeline& timeline, Random& random, const Weather& weather, const Time& blocked_until)
      : timeline_(timeline), random_(random), weather_(weather), blocked_until_(blocked_until) {}

  void Put(std::function<void()> deliver, bool numbered);
  // Loses what is under way and all that comes.
  void Cut() { cut_ = true; }

 private:
  struct Parcel {
    Time ready;
    std::function<void()> deliver;
    bool numbered;
  };
  void Add(std::function<void()> deliver, bool numbered);
  void Schedule(Time when);
  void Pump();

  Timeline& timeline_;
  Random& random_;
  const Weather& weather_;
  const Time& blocked_until_;
  std::deque<Parcel> under_way_;
  Time last_ready_;
  bool scheduled_ = false;
  bool cut_ = false;
};

}  // namespace qsweep::simulation

#endif  // QSWEEP_TESTS_SIMULATION_NETWORK_H_
