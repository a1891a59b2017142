// One simulation: a scheduler, its workers and a client, what happens to them, and what must hold
// all the while. The scheduler's core, rounds, recovery and repositories are the real ones, on
// SQLite in memory and a real artifact store; the workers decide by the agent's real decisions
// (worker/agent/decision.h). Processes, network and time are simulated.
#ifndef QSWEEP_TESTS_SIMULATION_WORLD_H_
#define QSWEEP_TESTS_SIMULATION_WORLD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "scheduler/rounds.h"
#include "tests/simulation/network.h"
#include "tests/simulation/timeline.h"

namespace qsweep::simulation {

// Mistakes that the simulation must find, made on purpose.
enum class Bug {
  kNone,
  kSkipFence,            // what an old attempt says is taken as the live one's
  kAcknowledgeTooEarly,  // messages and replies leave before the commit
};

inline constexpr absl::Duration kLease = absl::Seconds(20);
inline constexpr absl::Duration kHeartbeat = absl::Seconds(4);

class Client;
class Oracle;
class SchedulerProcess;
class WorkerProcess;

class World {
 public:
  // `directory`: an empty one for the artifact store.
  World(uint64_t seed, Bug bug, const std::string& directory);
  ~World();

  // Faults for a few minutes, then fair weather until all runs have ended. What was violated first;
  // OK if nothing was.
  absl::Status Run();
  const Timeline& timeline() const { return timeline_; }

  // --- For the parts of the world.
  // Only the first is kept; the simulation stops.
  void Violated(const std::string& what);
  // Runs `work` at the scheduler and hands its status to `reply`, both late, lost or after a
  // timeout as the weather wills. `link` may be null.
  void Call(const Link* link, std::function<absl::Status(Turn&)> work,
            std::function<void(const absl::Status&)> reply);
  Timeline& timeline() { return timeline_; }
  Random& random() { return random_; }
  const Weather& weather() const { return weather_; }
  SchedulerProcess& scheduler() { return *scheduler_; }
  Oracle& oracle() { return *oracle_; }
  bool fair() const { return fair_; }

 private:
  void DrawWeather();
  void ScheduleFault();
  void StrikeFault();
  void Clear();

  Timeline timeline_;
  Random random_;
  Weather weather_;
  Time storm_end_;
  Time mean_calm_;       // between two faults
  uint64_t faults_ = 0;  // the kinds that strike, a bit each
  bool fair_ = false;
  std::string violation_;
  std::unique_ptr<Oracle> oracle_;
  std::unique_ptr<SchedulerProcess> scheduler_;
  std::vector<std::unique_ptr<WorkerProcess>> workers_;
  std::unique_ptr<Client> client_;
};

}  // namespace qsweep::simulation

#endif  // QSWEEP_TESTS_SIMULATION_WORLD_H_
