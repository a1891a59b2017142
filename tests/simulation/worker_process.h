// A worker's machine: its agent, its trainers, and the attempt directories that outlive both. The
// agent is a short copy of worker/agent/attempt.cc without files, around the same decisions. Faults
// and the session are in worker_process.cc, attempts and their trainers in worker_attempts.cc.
#ifndef QSWEEP_TESTS_SIMULATION_WORKER_PROCESS_H_
#define QSWEEP_TESTS_SIMULATION_WORKER_PROCESS_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/ids.h"
#include "qsweep/v1/worker.pb.h"
#include "tests/simulation/scheduler_process.h"
#include "worker/agent/decision.h"

namespace qsweep::simulation {

// Of a run and, at least, of every worker.
inline constexpr int64_t kLargestMemory = 1000;

// Of an event in the log, as offsets count it.
inline constexpr uint64_t kRecordBytes = 16;
inline constexpr absl::Duration kPoll = absl::Milliseconds(100);

// What every machine computes for a run: a function of its key alone.
int64_t TotalSteps(const std::string& key);
int64_t CheckpointInterval(const std::string& key);
double Loss(const std::string& key, int64_t step);
std::string CheckpointContent(const std::string& key, int64_t step);
std::string ProductContent(const std::string& key);
bool FailsByConfig(const std::string& key);

class WorkerProcess {
 public:
  WorkerProcess(World& world, int number);

  const std::string& id() const { return info_.id(); }
  Link& link() { return link_; }
  void Start();

  // --- Faults.
  void BreakStream();
  void CrashAgent(Time down);  // trainers go on
  void CrashMachine(Time down, bool lose_disk);
  void Pause(Time duration);  // SIGSTOP of all its processes
  void Leave(Time away);      // goodbye, and back later

  // --- For the stream.
  void OnMessage(Stream& stream, const v1::ToWorker& message);
  void OnClosed(Stream& stream);

 private:
  struct Attempt {
    v1::Assign assign;
    std::string key;
    int64_t memory_bytes = 0;
    // On disk.
    std::vector<v1::Event> log;
    std::optional<v1::AttemptEnded> ended;
    std::optional<std::string> stop_file;
    bool started = false;
    // The trainer.
    int trainer = 0;  // a number for each process; 0: none lives
    int64_t step = 0;
    // The agent's.
    Phase phase = Phase::kPreparing;
    StopWish stop = StopWish::kNone;
    std::string stop_reason;
    std::optional<Time> terminated_at;
    bool killed = false;
    bool adopted = false;  // by an agent that is not the trainer's parent
    std::optional<ExitStatus> exit;
    bool attached = false;
    uint64_t acknowledged = 0, sent = 0;  // records
    bool end_sent = false, end_acknowledged = false;
    std::string cut_reason;
    std::map<std::string, int> uploads;  // by name: 1 under way, 2 done, 3 refused
  };

  Time now() const;
  // Runs unless the agent, or the machine, has died meanwhile; waits while it is stopped.
  void InAgent(Time delay, std::function<void()> what);
  void OnMachine(Time delay, std::function<void()> what);

  void Dial();
  void Beat();
  void Advance();
  bool Advance(Attempt& attempt);
  AttemptFacts Facts(const Attempt& attempt);
  void OnWelcome(const v1::Welcome& welcome);
  void OnAssign(const v1::Assign& assign);
  void Fetch(const AttemptId& id, int stage);
  void StartTrainer(Attempt& attempt);
  void Train(const AttemptId& id, int trainer);
  void EndTrainer(Attempt& attempt, ExitStatus exit);
  void WriteCheckpoint(Attempt& attempt);
  void SendEvents(Attempt& attempt);
  bool Upload(Attempt& attempt, const v1::FileFact& file);
  void End(Attempt& attempt, Evidence evidence);
  Attempt* Find(const v1::Attempt& attempt);
  Attempt* Find(const AttemptId& id);
  void ForgetAgent();

  World& world_;
  Link link_;
  v1::WorkerInfo info_;
  const Time step_time_;
  std::map<AttemptId, Attempt> attempts_;
  std::shared_ptr<Stream> stream_;
  bool welcomed_ = false;
  int64_t stops_seen_ = 0;
  bool agent_up_ = false;
  bool leaving_ = false;
  int agent_ = 0, machine_ = 0;  // incarnations
  int last_trainer_ = 0;
  Time paused_until_;
};

}  // namespace qsweep::simulation

#endif  // QSWEEP_TESTS_SIMULATION_WORKER_PROCESS_H_
