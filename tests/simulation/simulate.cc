// Simulates one seed after the other and says which of them break an invariant:
//   simulate                      the seeds 1 to 300
//   simulate --events 1000000     as many seeds as that takes, e.g. every night, from --first today
//   simulate --first 17 --seeds 1 --log     one again, with the scheduler's log
#include <cinttypes>
#include <cstdio>
#include <map>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/command_line.h"
#include "tests/simulation/simulation.h"

int main(int argc, char** argv) {
  using namespace qsweep::simulation;
  qsweep::Program program("simulate",
                          "Simulates the scheduler with its workers under faults, seed by seed.");
  uint64_t first = 1;
  int64_t seeds = 300, events = 0;
  bool log = false;
  std::string bug_name = "none";
  const std::map<std::string, Bug> bugs = {{"none", Bug::kNone},
                                           {"skip-fence", Bug::kSkipFence},
                                           {"acknowledge-too-early", Bug::kAcknowledgeTooEarly}};
  program.AddOption("--first", &first, "the first seed");
  program.AddOption("--seeds", &seeds, "how many");
  program.AddOption("--events", &events, "in place of --seeds: until so many events are done");
  program.AddOption("--bug", &bug_name, "a mistake to make")
      .OneOf({"none", "skip-fence", "acknowledge-too-early"});
  program.AddFlag("--log", &log, "let the scheduler log");
  if (const std::optional<int> code = program.Parse(argc, argv)) return *code;
  const Bug bug = bugs.at(bug_name);

  const absl::Duration start = qsweep::SystemClock().Monotonic();
  int64_t done = 0, failed = 0, steps = 0;
  for (; events > 0 ? steps < events : done < seeds; ++done) {
    const uint64_t seed = first + static_cast<uint64_t>(done);
    const Report report = Simulate(seed, bug, log);
    steps += report.events;
    if (report.status.ok()) continue;
    ++failed;
    std::printf("seed %" PRIu64 ": %s\n", seed, std::string(report.status.message()).c_str());
  }
  const double seconds = absl::ToDoubleSeconds(qsweep::SystemClock().Monotonic() - start);
  std::printf("%" PRId64 " seeds from %" PRIu64 ", %" PRId64 " failed; %" PRId64
              " events in %.1f s, %.0f a second\n",
              done, first, failed, steps, seconds, static_cast<double>(steps) / seconds);
  return failed == 0 ? 0 : 1;
}
