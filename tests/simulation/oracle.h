// What must hold, checked after every commit, after every recovery and at the end, against what the
// parts of the world were told: an oracle of its own, not the scheduler's idea of itself.
#ifndef QSWEEP_TESTS_SIMULATION_ORACLE_H_
#define QSWEEP_TESTS_SIMULATION_ORACLE_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/ids.h"
#include "qsweep/v1/event.pb.h"
#include "qsweep/v1/worker.pb.h"
#include "tests/simulation/world.h"

namespace qsweep::simulation {

struct CellFacts {
  int64_t memory_bytes = 0;
  std::string weights_key;
};

class Oracle {
 public:
  explicit Oracle(World& world) : world_(world) {}

  // --- What is known of from outside.
  void AddCell(const std::string& key, CellFacts facts) { cells_[key] = std::move(facts); }
  // The client was told that its request has made this sweep.
  void OnSubmitted(const std::string& request_id, int64_t sweep, int runs);
  void OnContact(const std::string& worker) { contacts_.insert(worker); }
  // Returns the run's key. The content to go on from must be the run's own.
  std::string OnAssign(const v1::Assign& assign, int64_t* memory_bytes);
  // A worker was told that the first `records` of the log are stored.
  void OnAcknowledged(const AttemptId& attempt, const std::string& key,
                      const std::vector<v1::Event>& log, uint64_t records);
  // A worker has said how its attempt ended.
  void OnEndSent(const AttemptId& attempt) { ends_sent_.insert(attempt); }
  static int64_t StepOf(const std::string& checkpoint_name);

  // --- When it looks.
  void AfterCommit();
  void AfterRecovery();
  void AtEnd();

 private:
  struct Point {
    AttemptId attempt;
    int64_t step;
    double loss;
  };
  void Check(bool holds, const std::string& what);
  void CheckRuns();
  void CheckSubmissions();
  void CheckFence();
  void CheckMemory();
  void CheckOwners();
  void CheckPoint(const Point& point);
  void CheckResult(RunId run, const std::string& key);
  storage::Database& database();

  World& world_;
  std::map<std::string, CellFacts> cells_;
  std::map<std::string, std::pair<int64_t, int>> submitted_;  // by request: sweep, runs
  std::set<std::string> contacts_;                            // since the last commit
  std::map<std::string, Time> heard_;                         // of workers
  Time last_commit_;
  Time resumed_at_;  // the first commit since the scheduler started
  std::map<AttemptId, uint64_t> acknowledged_;
  std::vector<Point> points_;
  std::map<RunId, int64_t> accepted_;  // the attempt whose result counts
  std::map<RunId, uint64_t> offsets_;
  std::set<AttemptId> ends_sent_;
};

}  // namespace qsweep::simulation

#endif  // QSWEEP_TESTS_SIMULATION_ORACLE_H_
