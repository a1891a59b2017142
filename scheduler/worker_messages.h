// What a worker says, each message in a turn of its own: checked, stored, and told to the core. No
// network: the stream's end is service/worker_session.h's.
#ifndef QSWEEP_SCHEDULER_WORKER_MESSAGES_H_
#define QSWEEP_SCHEDULER_WORKER_MESSAGES_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "qsweep/v1/worker.pb.h"
#include "scheduler/rounds.h"
#include "storage/results.h"

namespace qsweep {

// The first message of a stream. InvalidArgument or FailedPrecondition says what is wrong with it,
// AlreadyExists that a living worker has its id; the stream must end then.
absl::Status TakeHello(Turn& turn, core::SessionNumber session, const v1::Hello& hello,
                       std::shared_ptr<Outbox> outbox);
// What of a message's events takes long to prepare; on any thread, so that the loop need not do it.
std::vector<storage::StoredResult> StoredResults(const v1::FromWorker& message);
// Any other message, with its StoredResults; InvalidArgument for a second hello and for what this
// qsweep does not know.
absl::Status TakeMessage(Turn& turn, core::SessionNumber session, v1::FromWorker& message,
                         const std::vector<storage::StoredResult>& results);
// The stream is over.
void TakeDisconnect(Turn& turn, core::SessionNumber session);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_WORKER_MESSAGES_H_
