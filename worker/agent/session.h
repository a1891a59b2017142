// The worker's stream with the scheduler: kept open, reopened with a back-off, its heartbeats sent
// in time whatever else there is to send.
#ifndef QSWEEP_WORKER_AGENT_SESSION_H_
#define QSWEEP_WORKER_AGENT_SESSION_H_

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <variant>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "qsweep/v1/worker.grpc.pb.h"

namespace qsweep {

// Exponential, jittered, 0.1 to 5 s.
class Backoff {
 public:
  absl::Duration Next();
  void Reset() { step_ = absl::Milliseconds(100); }

 private:
  absl::Duration step_ = absl::Milliseconds(100);
  std::minstd_rand random_{std::random_device()()};
};

// Whether a session's end means that the scheduler will not have this worker: another version, or a
// token that is not good.
bool IsRefusal(const absl::Status& status);

// The scheduler can be reached: Open is wanted, with what the worker holds now.
struct SessionWanted {};
// The stream has ended; what was sent and not acknowledged is lost.
struct SessionClosed {
  absl::Status reason;
};
// A v1::ToWorker comes between the two; the first is the welcome.
using SessionEvent = std::variant<SessionWanted, v1::ToWorker, SessionClosed>;

// Thread-safe.
class Session {
 public:
  using Listener = std::function<void(SessionEvent)>;
  // Dials at once. `listener` is called on the session's thread, in order.
  Session(std::shared_ptr<grpc::Channel> channel, const Clock& clock, Listener listener);
  ~Session();

  // The answer to SessionWanted.
  void Open(v1::Hello hello);
  // Queued; dropped when there is no stream.
  void Send(v1::FromWorker message);
  // What heartbeats say from now on. They are sent by the session itself every
  // Welcome.heartbeat_ms, and at once when the worker begins or ceases to refuse runs: what it
  // gives back must not be sent to it again meanwhile.
  void SetHeartbeat(v1::Heartbeat heartbeat);
  // As last set, and whether there is a stream to say it on.
  std::pair<v1::Heartbeat, bool> Standing();
  // Sends what is queued, then `goodbye`, and closes for good. Waits until the scheduler has ended
  // the stream, at most `timeout`. Without a goodbye the stream just breaks.
  void Leave(std::optional<v1::Goodbye> goodbye, absl::Duration timeout);

 private:
  using Stream = grpc::ClientReaderWriter<v1::FromWorker, v1::ToWorker>;

  void Run();
  bool WaitUntilReachable();  // whether it is
  // One session from its hello to its end.
  absl::Status RunOnce(v1::Hello hello, bool* welcomed);
  void WriteLoop(Stream* stream, absl::Duration heartbeat_interval);
  // Sleeps unless closing; whether to go on.
  bool Pause(absl::Duration duration);

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  const Clock& clock_;
  const Listener listener_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::optional<v1::Hello> hello_;
  std::deque<v1::FromWorker> outbox_;
  v1::Heartbeat heartbeat_;
  bool heartbeat_due_ = false;              // before its time
  grpc::ClientContext* context_ = nullptr;  // of the open stream
  bool writing_ = false;                    // the stream takes messages
  bool leaving_ = false;                    // no more after those in the outbox
  bool closing_ = false;

  std::thread thread_;  // last: it uses the rest
};

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_SESSION_H_
