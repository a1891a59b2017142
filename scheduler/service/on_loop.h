#ifndef QSWEEP_SCHEDULER_SERVICE_ON_LOOP_H_
#define QSWEEP_SCHEDULER_SERVICE_ON_LOOP_H_

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/status/status.h"
#include "common/rpc.h"
#include "scheduler/loop.h"

namespace qsweep {

// A unary call: `work`, an absl::Status(Turn&) that fills the reply, has its turn on the loop, and
// the call is answered once that turn is on disk.
template <typename Work>
grpc::ServerUnaryReactor* OnLoop(Loop& loop, grpc::CallbackServerContext* context, Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  loop.Post([reactor, work = std::move(work)](Turn& turn) {
    const absl::Status status = work(turn);
    turn.AfterCommit([reactor, status] { reactor->Finish(ToGrpc(status)); });
  });
  return reactor;
}

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_ON_LOOP_H_
