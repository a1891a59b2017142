// Simulates one seed after the other and says which of them break an invariant:
//   simulate                      the seeds 1 to 300
//   simulate --events 1000000     as many seeds as that takes, e.g. every night, from --first today
//   simulate --first 17 --seeds 1 --log     one again, with the scheduler's log
#include <CLI/CLI.hpp>
#include <cinttypes>
#include <cstdio>
#include <map>

#include "common/clock.h"
#include "tests/simulation/simulation.h"

int main(int argc, char** argv) {
  using namespace qsweep::simulation;
  CLI::App app("Simulates the scheduler with its workers under faults, seed by seed.");
  uint64_t first = 1;
  int64_t seeds = 300, events = 0;
  bool log = false;
  Bug bug = Bug::kNone;
  const std::map<std::string, Bug> bugs = {{"none", Bug::kNone},
                                           {"skip-fence", Bug::kSkipFence},
                                           {"acknowledge-too-early", Bug::kAcknowledgeTooEarly}};
  app.add_option("--first", first, "the first seed")->capture_default_str();
  app.add_option("--seeds", seeds, "how many")->capture_default_str();
  app.add_option("--events", events, "in place of --seeds: until so many events are done");
  app.add_option("--bug", bug, "a mistake to make")->transform(CLI::CheckedTransformer(bugs));
  app.add_flag("--log", log, "let the scheduler log");
  CLI11_PARSE(app, argc, argv);

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
