// Random histories, by seed: after every event the state must be consistent, what it told the world
// must follow from what it had told before, and once the weather clears every run must end.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "common/attempt_id.h"
#include "scheduler/core/reactor.h"

namespace qsweep::core {
namespace {

class World {
 public:
  explicit World(uint64_t seed) : random_(seed) { state_.last_tick = now_; }

  void Step() {
    switch (Below(12)) {
      case 0:
        return Submit();
      case 1:
        return Connect(Below(4));
      case 2:
        return Disconnect(Below(4));
      case 3:
        return Cancel();
      case 4:
        return Retry();
      case 5:
        return PauseOrResume();
      case 6:
        return DrainOrUndrain();
      default:
        return Work(Below(4), /*well=*/Below(3) == 0);
    }
  }
  // Every worker connected, every attempt succeeding; returns whether all runs have ended.
  bool Finish() {
    for (int run = 1; run <= last_run_; ++run) OnResume(state_, now_, {RunId(run)}, effects_);
    for (const auto& [id, worker] : state_.workers) OnUndrain(state_, id, effects_);
    for (int worker = 0; worker < 4; ++worker) {
      Connect(worker);
      Settle();
    }
    for (int round = 0; round < 1000; ++round) {
      for (int worker = 0; worker < 4; ++worker) {
        Work(worker, /*well=*/true);
        Settle();
      }
      bool open = false;
      for (const auto& [id, sweep] : state_.sweeps) open |= sweep.open();
      if (!open) return true;
    }
    return false;
  }

  // Takes in what the core asked for, as storage and the workers would.
  void Settle() {
    OnTick(state_, now_, effects_);
    for (const Change& change : effects_.changes) std::visit([this](auto& c) { Store(c); }, change);
    for (const Outgoing& out : effects_.messages) {
      if (!out.message.has_assign()) continue;
      held_[Find(out.session)].insert(FromProto(out.message.assign().attempt()));
    }
    effects_ = {};
    CheckInvariants();
  }

 private:
  int Below(int n) { return static_cast<int>(random_() % n); }
  static std::string Name(int worker) { return std::string(1, static_cast<char>('a' + worker)); }
  int Find(SessionNumber session) const {
    for (const auto& [worker, number] : sessions_) {
      if (number == session) return worker;
    }
    ADD_FAILURE() << "a message for session " << session << ", which is not open";
    return 0;
  }

  void Submit() {
    std::vector<Run> runs;
    for (int i = Below(4); i >= 0; --i) {
      Run run;
      run.id = RunId(++last_run_);
      run.sweep = SweepId(last_sweep_);
      run.key = std::to_string(Below(20));
      // Weights come from a key below its own, so that nothing waits for itself.
      const int producer = Below(40);
      if (producer < std::stoi(run.key)) run.weights_key = std::to_string(producer);
      run.needs.dataset = Below(2) == 0 ? "cifar10" : "cifar100";
      run.needs.memory_bytes = 100 * Below(5);
      stored_[run.id] = v1::RUN_STATE_PENDING;
      runs.push_back(std::move(run));
    }
    OnSubmit(state_, now_, SweepId(last_sweep_++), Below(3), std::move(runs), effects_);
  }
  void Connect(int worker) {
    v1::Hello hello;
    hello.mutable_info()->set_id(Name(worker));
    hello.mutable_info()->set_slots(1 + worker % 3);
    hello.mutable_info()->set_memory_bytes(600);
    hello.mutable_info()->add_datasets("cifar10");
    hello.mutable_info()->add_datasets("cifar100");
    if (Below(4) == 0) held_[worker].clear();  // it lost its state directory
    for (const AttemptId& id : held_[worker]) *hello.add_held()->mutable_attempt() = ToProto(id);
    sessions_[worker] = ++last_session_;
    OnHello(state_, now_, last_session_, hello, 1000, effects_);
    for (const v1::HeldVerdict& verdict : effects_.messages[0].message.welcome().verdicts()) {
      if (!verdict.keep()) held_[worker].erase(FromProto(verdict.attempt()));
    }
  }
  void Disconnect(int worker) {
    const auto it = sessions_.find(worker);
    if (it == sessions_.end()) return;
    OnDisconnect(state_, it->second);
    sessions_.erase(it);
  }
  void Cancel() {
    if (last_run_ > 0) OnCancel(state_, now_, {RunId(1 + Below(last_run_))}, effects_);
  }
  void Retry() {
    if (last_run_ > 0) OnRetry(state_, now_, {RunId(1 + Below(last_run_))}, effects_);
  }
  void PauseOrResume() {
    if (last_run_ == 0) return;
    const std::vector<RunId> run = {RunId(1 + Below(last_run_))};
    Below(2) == 0 ? OnPause(state_, now_, run, effects_) : OnResume(state_, now_, run, effects_);
  }
  void DrainOrUndrain() {
    const WorkerId worker(Name(Below(4)));
    if (state_.workers.count(worker) == 0) return;
    if (Below(2) == 0) return OnUndrain(state_, worker, effects_);
    OnDrain(state_, now_, worker, /*move_runs=*/Below(2) == 0, effects_);
  }
  // Time passes; the worker, if connected, ends one of its attempts.
  void Work(int worker, bool well) {
    now_ += absl::Seconds(1 + Below(15));
    const auto session = sessions_.find(worker);
    if (session == sessions_.end()) return;
    OnHeartbeat(state_, now_, session->second, {}, effects_);
    if (state_.sessions.count(session->second) == 0) {  // closed after a long silence
      sessions_.erase(session);
      return;
    }
    if (held_[worker].empty()) return;
    const AttemptId id = *held_[worker].begin();
    held_[worker].erase(held_[worker].begin());
    v1::AttemptEnded ended;
    *ended.mutable_attempt() = ToProto(id);
    ended.set_succeeded(well);
    ended.set_blame(static_cast<v1::Blame>(1 + Below(4)));
    OnAttemptEnded(state_, now_, session->second, ended, /*has_result=*/true, effects_);
  }

  // Compare-and-set, as in storage.
  void Store(const AttemptStarted& started) {
    EXPECT_EQ(stored_[started.attempt.run], v1::RUN_STATE_PENDING);
    EXPECT_EQ(started.attempt.number.value(), ++attempts_[started.attempt.run]);
    EXPECT_TRUE(live_.insert(started.attempt).second);
    stored_[started.attempt.run] = v1::RUN_STATE_RUNNING;
  }
  void Store(const AttemptOver& over) { EXPECT_EQ(live_.erase(over.attempt), 1u); }
  void Store(const RunMoved& moved) {
    EXPECT_EQ(stored_[moved.run], moved.from);
    stored_[moved.run] = moved.to;
    if (moved.to == v1::RUN_STATE_SUCCEEDED && moved.reused == RunId()) {
      EXPECT_TRUE(computed_.insert(state_.runs.at(moved.run).key).second) << "computed twice";
    }
  }
  void Store(const RunPaused&) {}
  void Store(const WorkerFaults&) {}
  void Store(const WorkerDraining&) {}
  void Store(const SweepEnded&) {}
  void Store(const SweepReopened&) {}
  void Store(const Noted&) {}

  void CheckInvariants() {
    size_t waiting = state_.delayed.size(), running = 0, paused = 0;
    for (const auto& [line, positions] : state_.queue) {
      EXPECT_FALSE(positions.empty());
      waiting += positions.size();
    }
    for (const auto& [key, cell] : state_.cells) {
      waiting += cell.twins.size() + cell.consumers.size();
      EXPECT_TRUE(cell.twins.empty() || cell.active != RunId());
      EXPECT_TRUE(cell.succeeded == RunId() || cell.active == RunId());
    }
    for (const auto& [id, worker] : state_.workers) {
      running += worker.running.size();
      int64_t bytes = 0;
      for (const RunId run : worker.running) bytes += state_.runs.at(run).memory_bytes;
      EXPECT_LE(bytes, worker.info.memory_bytes());
      for (const auto& [attempt, held] : worker.stopping) bytes += held.memory_bytes;
      EXPECT_EQ(worker.reserved_bytes, bytes);
      EXPECT_LE(worker.running.size(), static_cast<size_t>(worker.info.slots()));
    }
    std::map<v1::RunState, size_t> count;
    for (const auto& [id, run] : state_.runs) {
      ++count[run.state];
      waiting += run.state == v1::RUN_STATE_PENDING && run.wait == Wait::kPaused;
      paused += run.paused;
      EXPECT_TRUE(run.state != v1::RUN_STATE_PENDING || run.wait != Wait::kPaused || run.paused);
      EXPECT_EQ(stored_[id], run.state);
    }
    EXPECT_EQ(count[v1::RUN_STATE_PENDING], waiting);
    EXPECT_EQ(count[v1::RUN_STATE_RUNNING], running);
    EXPECT_EQ(live_.size(), running);
    size_t counted = 0, paused_counted = 0;
    for (const auto& [id, sweep] : state_.sweeps) {
      for (const int32_t runs : sweep.count) counted += runs;
      paused_counted += sweep.paused;
    }
    EXPECT_EQ(counted, state_.runs.size());
    EXPECT_EQ(paused_counted, paused);
  }

  std::mt19937_64 random_;
  State state_;
  Effects effects_;
  Time now_ = absl::Seconds(1000);
  int last_run_ = 0;
  int64_t last_sweep_ = 1;
  SessionNumber last_session_ = 0;
  std::map<int, SessionNumber> sessions_;
  std::map<int, std::set<AttemptId>> held_;
  // As storage would have it.
  std::map<RunId, v1::RunState> stored_;
  std::map<RunId, int32_t> attempts_;
  std::set<AttemptId> live_;
  std::set<std::string> computed_;
};

TEST(Random, HistoriesStayConsistentAndEnd) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    World world(seed);
    for (int step = 0; step < 300; ++step) {
      world.Step();
      world.Settle();
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_TRUE(world.Finish());
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace qsweep::core
