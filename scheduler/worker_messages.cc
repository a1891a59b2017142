#include "scheduler/worker_messages.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/attempt_id.h"
#include "common/log.h"
#include "common/status.h"
#include "common/utf8.h"
#include "scheduler/core/reactor.h"
#include "scheduler/events.h"
#include "scheduler/requests.h"
#include "storage/workers.h"

namespace qsweep {
namespace {

constexpr size_t kMaxErrorBytes = 4 << 10;
constexpr size_t kMaxRefusalBytes = 500;
constexpr size_t kMaxTailBytes = 16 << 10;
constexpr double kHeardLately = 1.5;  // heartbeats; a lease has three

absl::Status TakeEnd(Turn& turn, core::SessionNumber session, v1::AttemptEnded ended) {
  ended.set_error(std::string(Beginning(ended.error(), kMaxErrorBytes)));
  ended.set_log_tail(std::string(Ending(ended.log_tail(), kMaxTailBytes)));
  if (!v1::Blame_IsValid(ended.blame()) || ended.blame() == v1::BLAME_UNSPECIFIED) {
    ended.set_blame(v1::BLAME_MACHINE);
  }
  ASSIGN_OR_RETURN(const bool has_result,
                   storage::HasResult(turn.database(), FromProto(ended.attempt())));
  core::OnAttemptEnded(turn.state, turn.now, session, ended, has_result, turn.effects);
  return absl::OkStatus();
}

// A copied state directory makes two workers of one id, which would take each other's runs for
// ever. One whose line has died in silence dials anew, too, but is not heard meanwhile.
absl::Status CheckAlone(const Turn& turn, const WorkerId& id, const Outbox& outbox) {
  const auto it = turn.state.workers.find(id);
  if (it == turn.state.workers.end()) return absl::OkStatus();
  const core::Worker& worker = it->second;
  const Outbox* const other = turn.FindSession(worker.session);
  if (other == nullptr || other->connection() == outbox.connection() ||
      turn.now - worker.last_seen > kHeardLately * absl::Milliseconds(turn.heartbeat_ms)) {
    return absl::OkStatus();
  }
  return absl::AlreadyExistsError(kSameId);
}

}  // namespace

absl::Status TakeHello(Turn& turn, core::SessionNumber session, const v1::Hello& hello,
                       std::shared_ptr<Outbox> outbox) {
  RETURN_IF_ERROR(CheckHello(hello));
  RETURN_IF_ERROR(CheckAlone(turn, WorkerId(hello.info().id()), *outbox));
  RETURN_IF_ERROR(storage::PutWorker(turn.transaction, {hello.info(), turn.unix_us}));
  LogInfo(absl::StrCat("worker ", hello.info().name(), " (", hello.info().id(), ") connected with ",
                       hello.held_size(), " attempts"));
  turn.AddSession(session, std::move(outbox));
  core::OnHello(turn.state, turn.now, session, hello, turn.heartbeat_ms, turn.effects);
  return absl::OkStatus();
}

std::vector<storage::StoredResult> StoredResults(const v1::FromWorker& message) {
  std::vector<storage::StoredResult> results;
  for (const v1::Event& event : message.events().events()) {
    if (event.has_finished()) results.emplace_back(event.finished().result());
  }
  return results;
}

absl::Status TakeMessage(Turn& turn, core::SessionNumber session, v1::FromWorker& message,
                         const std::vector<storage::StoredResult>& results) {
  switch (message.kind_case()) {
    case v1::FromWorker::kHello:
      return absl::InvalidArgumentError("a session begins with hello and says it once");
    case v1::FromWorker::kHeartbeat:
      message.mutable_heartbeat()->set_refuses(
          std::string(Beginning(message.heartbeat().refuses(), kMaxRefusalBytes)));
      core::OnHeartbeat(turn.state, turn.now, session, message.heartbeat(), turn.effects);
      for (const v1::AttemptProgress& progress : message.heartbeat().attempts()) {
        turn.Touch(RunId(progress.attempt().run_id()));
      }
      return absl::OkStatus();
    case v1::FromWorker::kEvents:
      TakeEvents(turn, session, message.events(), results);
      return absl::OkStatus();
    case v1::FromWorker::kEnded:
      return TakeEnd(turn, session, std::move(*message.mutable_ended()));
    case v1::FromWorker::kGoodbye:
      core::OnGoodbye(turn.state, turn.now, session,
                      std::string(Beginning(message.goodbye().reason(), kMaxErrorBytes)),
                      turn.effects);
      return absl::OkStatus();
    case v1::FromWorker::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("a message without content, or of a newer qsweep");
}

void TakeDisconnect(Turn& turn, core::SessionNumber session) {
  if (const core::Worker* worker = core::FindWorker(turn.state, session)) {
    LogInfo(absl::StrCat("worker ", worker->info.name(), ": lost contact"));
    // Failing, it fails the commit.
    (void)storage::SetWorkerSeen(turn.transaction, WorkerId(worker->info.id()), turn.unix_us);
    for (const RunId run : worker->running) turn.Touch(run);  // who watches them is told
  }
  core::OnDisconnect(turn.state, session);
  turn.RemoveSession(session);
}

}  // namespace qsweep
