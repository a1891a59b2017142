// For tests: the decisions, driven directly with a clock of their own.
#ifndef QSWEEP_SCHEDULER_CORE_CORE_FIXTURE_H_
#define QSWEEP_SCHEDULER_CORE_CORE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/attempt_id.h"
#include "scheduler/core/reactor.h"
#include "scheduler/core/waiting.h"

namespace qsweep::core {

inline constexpr absl::Duration kLease = absl::Seconds(60);

class CoreTest : public testing::Test {
 protected:
  CoreTest() { state_.last_tick = now_; }

  static std::string Key(int i) { return absl::StrCat("key", i); }

  core::Run MakeRun(const std::string& key) {
    core::Run run;
    run.id = RunId(++last_run_);
    run.sweep = SweepId(last_sweep_);
    run.key = key;
    run.needs = {"", "cifar10", 100};
    return run;
  }
  // One sweep of these runs; returns the first one's id.
  RunId Submit(std::vector<core::Run> runs, int32_t priority = 0) {
    const RunId first = runs[0].id;
    OnSubmit(state_, now_, SweepId(last_sweep_++), priority, std::move(runs), Out());
    Tick();
    return first;
  }
  RunId SubmitOne(const std::string& key, int32_t priority = 0) {
    return Submit({MakeRun(key)}, priority);
  }

  // What a worker says at first, and its session from then on.
  SessionNumber Connect(const std::string& id, std::vector<AttemptId> held = {}, int slots = 1,
                        int64_t memory = 1000, std::vector<std::string> models = {}) {
    v1::Hello hello;
    hello.mutable_info()->set_id(id);
    hello.mutable_info()->set_name(id);
    hello.mutable_info()->set_slots(slots);
    hello.mutable_info()->set_memory_bytes(memory);
    hello.mutable_info()->add_datasets("cifar10");
    for (const std::string& model : models) hello.mutable_info()->add_models(model);
    for (const AttemptId& attempt : held) *hello.add_held()->mutable_attempt() = ToProto(attempt);
    OnHello(state_, now_, ++last_session_, hello, 5000, Out());
    Tick();
    return last_session_;
  }
  void Beat(SessionNumber session, std::vector<AttemptId> attempts = {}, int64_t step = 0) {
    v1::Heartbeat beat;
    beat.set_stops_seen(state_.workers.at(state_.sessions.at(session)).stops);
    for (const AttemptId& attempt : attempts) {
      v1::AttemptProgress* progress = beat.add_attempts();
      *progress->mutable_attempt() = ToProto(attempt);
      progress->set_step(step);
    }
    OnHeartbeat(state_, now_, session, beat, Out());
    Tick();
  }
  void End(SessionNumber session, const AttemptId& attempt, v1::Blame blame, bool succeeded = false,
           bool has_result = true) {
    v1::AttemptEnded ended;
    *ended.mutable_attempt() = ToProto(attempt);
    ended.set_succeeded(succeeded);
    ended.set_blame(blame);
    ended.set_error("it broke");
    OnAttemptEnded(state_, now_, session, ended, has_result, Out());
    Tick();
  }
  void Succeed(SessionNumber session, const AttemptId& attempt) {
    End(session, attempt, v1::BLAME_UNSPECIFIED, true);
  }
  // Time passes in small steps, as it does for a scheduler that is alive.
  void Pass(absl::Duration time) {
    for (const Time end = now_ + time; now_ < end;) {
      now_ = std::min(end, now_ + absl::Seconds(1));
      Tick();
    }
  }
  // A scheduler begins anew with this run, whose third attempt the worker "w" had an hour ago.
  AttemptId Restart(core::Run run) {
    run.state = v1::RUN_STATE_RUNNING;
    run.attempt = AttemptNumber(3);
    run.worker = WorkerId("w");
    v1::WorkerInfo info;
    info.set_id("w");
    RestoreWorker(state_, now_, info, now_ - absl::Hours(1));
    AddSweep(state_, run.sweep, 0);
    AddRun(state_, run, /*reused=*/false);
    StartAfterRecovery(state_, now_, Out());
    return run.last_attempt();
  }
  void Tick() { OnTick(state_, now_, Out()); }

  const core::Run& Get(RunId id) { return state_.runs.at(id); }
  AttemptId Live(RunId id) {
    EXPECT_EQ(Get(id).state, v1::RUN_STATE_RUNNING) << "run " << id.value();
    return Get(id).last_attempt();
  }
  // Everything since the last call.
  Effects Take() { return std::exchange(effects_, {}); }
  Effects& Out() { return effects_; }
  std::optional<v1::ToWorker> LastTo(SessionNumber session, v1::ToWorker::KindCase kind) {
    std::optional<v1::ToWorker> found;
    for (const Outgoing& out : effects_.messages) {
      if (out.session == session && out.message.kind_case() == kind) found = out.message;
    }
    return found;
  }
  std::string LastNote() {
    std::string last;
    for (const Change& change : effects_.changes) {
      if (const auto* noted = std::get_if<Noted>(&change)) last = noted->text;
    }
    return last;
  }
  std::string Reason(RunId id) { return WaitingReason(state_, now_, Get(id)); }

  State state_;
  Time now_ = absl::Seconds(1000);
  Effects effects_;
  int64_t last_run_ = 0;
  int64_t last_sweep_ = 1;
  SessionNumber last_session_ = 0;
};

}  // namespace qsweep::core

#endif  // QSWEEP_SCHEDULER_CORE_CORE_FIXTURE_H_
