// People at the command line: they submit, cancel, retry, pause and drain.
#ifndef QSWEEP_TESTS_SIMULATION_CLIENT_H_
#define QSWEEP_TESTS_SIMULATION_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "scheduler/service/submission.h"
#include "tests/simulation/world.h"

namespace qsweep::simulation {

class Client {
 public:
  explicit Client(World& world);
  // Plans its doings until `end`.
  void Start(Time end);
  // What it paused and drained goes on.
  void LetGo();
  bool idle() const { return unanswered_ == 0; }

 private:
  struct Submission {
    v1::SubmitSweepRequest request;
    std::vector<SubmittedCell> cells;
  };
  void Submit(std::shared_ptr<const Submission> submission);
  void Meddle();

  World& world_;
  std::vector<SubmittedCell> pool_;  // of cells, so that sweeps share some
  int unanswered_ = 0;
};

}  // namespace qsweep::simulation

#endif  // QSWEEP_TESTS_SIMULATION_CLIENT_H_
