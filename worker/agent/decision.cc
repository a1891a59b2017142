#include "worker/agent/decision.h"

#include <signal.h>
#include <string.h>

#include "absl/strings/str_cat.h"
#include "common/attempt_dir.h"

namespace qsweep {
namespace {

Step StopStep(const AttemptFacts& facts) {
  if (facts.killed) return Step::kWait;
  if (facts.stop == StopWish::kDiscard) return Step::kKill;
  if (!facts.terminated) return Step::kTerminate;
  return facts.since_terminated >= kStopGrace ? Step::kKill : Step::kWait;
}

Step ReportStep(const AttemptFacts& facts) {
  if (!facts.attached) return Step::kWait;
  if (!facts.log_sent) return Step::kSendEvents;
  if (facts.phase != Phase::kEnded || !facts.log_acknowledged || facts.end_sent) return Step::kWait;
  return Step::kSendEnd;
}

std::string SignalText(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? absl::StrCat("signal ", signal) : absl::StrCat("SIG", name);
}

void Blame(v1::AttemptEnded* ended, v1::Blame blame, std::string error) {
  ended->set_blame(blame);
  ended->set_error(std::move(error));
}

}  // namespace

Step NextStep(const AttemptFacts& facts) {
  switch (facts.phase) {
    case Phase::kPreparing:
    case Phase::kReady:
      if (facts.stop == StopWish::kDiscard) return Step::kDelete;
      if (facts.stop == StopWish::kCheckpoint) return Step::kGiveUp;
      if (facts.phase == Phase::kReady && facts.slot_free && facts.attached) return Step::kStart;
      return Step::kWait;
    case Phase::kRunning:
      if (facts.stop != StopWish::kNone) {
        if (const Step step = StopStep(facts); step != Step::kWait) return step;
      }
      return ReportStep(facts);
    case Phase::kEnded:
      if (facts.stop == StopWish::kDiscard || facts.end_acknowledged) return Step::kDelete;
      return ReportStep(facts);
  }
  return Step::kWait;
}

v1::AttemptEnded Judge(const Evidence& evidence) {
  v1::AttemptEnded ended;
  const ExitStatus exit = evidence.exit.value_or(ExitStatus{});
  ended.set_exit_code(exit.exit_code);
  ended.set_signal(exit.signal);

  // The trainer's own word goes before what was seen from outside.
  if (evidence.last_word && evidence.last_word->has_finished()) {
    ended.set_succeeded(true);
  } else if (evidence.last_word && evidence.last_word->has_failed()) {
    const v1::Failed& failed = evidence.last_word->failed();
    Blame(&ended, failed.blame() == v1::BLAME_UNSPECIFIED ? v1::BLAME_MACHINE : failed.blame(),
          failed.message());
  } else if (evidence.stop_reason) {
    Blame(&ended, v1::BLAME_CONTROL_PLANE, absl::StrCat("stopped: ", *evidence.stop_reason));
  } else if (!evidence.start_error.empty()) {
    Blame(&ended, evidence.input_refused ? v1::BLAME_CONTROL_PLANE : v1::BLAME_MACHINE,
          absl::StrCat("could not be started: ", evidence.start_error));
  } else if (evidence.disk_full) {
    Blame(&ended, v1::BLAME_MACHINE, "the disk of the worker's state directory is full");
  } else if (evidence.out_of_memory_kill && (exit.signal == SIGKILL || !evidence.exit)) {
    Blame(&ended, v1::BLAME_RESOURCES, "killed by the kernel for want of memory");
  } else if (exit.signal != 0) {
    Blame(&ended, v1::BLAME_MACHINE,
          absl::StrCat("the trainer was killed by ", SignalText(exit.signal)));
  } else if (exit.exit_code == kExitStopped) {
    Blame(&ended, v1::BLAME_CONTROL_PLANE, "stopped by someone else's signal");
  } else if (!evidence.exit) {
    Blame(&ended, v1::BLAME_MACHINE, "the trainer ended without a word while its agent was away");
  } else {
    Blame(&ended, v1::BLAME_MACHINE,
          absl::StrCat("the trainer ended without a word, exit code ", exit.exit_code));
  }
  return ended;
}

}  // namespace qsweep
