// The scheduler's side of the worker protocol on a real socket, doing what a test tells it: keeps
// events and artifacts, acknowledges what it has kept, and remembers what it was told.
#ifndef QSWEEP_WORKER_AGENT_TESTING_SCRIPTED_SCHEDULER_H_
#define QSWEEP_WORKER_AGENT_TESTING_SCRIPTED_SCHEDULER_H_

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/ids.h"
#include "qsweep/v1/worker.grpc.pb.h"

namespace qsweep {

// What is remembered outlives Stop and Start, as a database would. Thread-safe.
class ScriptedScheduler : private v1::WorkerService::Service {
 public:
  struct AttemptRecord {
    std::vector<v1::Event> events;      // without gaps, each once
    std::vector<uint64_t> end_offsets;  // where the batch of each event ended
    uint64_t offset = 0;                // stored so far
    int signs_of_life = 0;              // batches of no events
    int missing_artifacts = 0;          // files that events named before they were here
    std::optional<v1::AttemptEnded> ended;
    int times_ended = 0;
    v1::AttemptProgress progress;  // of the last heartbeat
  };
  struct State {
    std::map<AttemptId, AttemptRecord> attempts;
    std::map<std::string, std::string> artifacts;  // by SHA-256
    std::vector<v1::Hello> hellos;
    std::optional<v1::Goodbye> goodbye;
    int heartbeats = 0;
    std::string refuses;  // of the last heartbeat
    bool connected = false;
    int uploads_held = 0;
    // What the test wants.
    bool keep_held = true;
    bool acknowledge_ends = true;
    bool refuse_hellos = false;
    bool end_sessions = false;  // with the welcome
    bool hold_uploads = false;
    grpc::Status uploads_end;   // unless it is OK
    int damage_downloads = 0;   // so many, with a byte changed
    absl::Duration read_pause;  // before each message
    int heartbeat_ms = 100;
  };

  explicit ScriptedScheduler(std::string address) : address_(std::move(address)) {}
  ~ScriptedScheduler() { Stop(); }
  void Start();
  void Stop();

  void Send(const v1::ToWorker& message);
  // Looks at the state, or changes it, with its lock held.
  template <typename F>
  auto With(F f) {
    std::lock_guard<std::mutex> hold(mutex_);
    return f(state_);
  }
  // After With has changed what is wanted of calls that wait.
  void Wake() { changed_.notify_all(); }
  // False if `condition` has not come true in time.
  bool WaitFor(const std::function<bool(const State&)>& condition,
               absl::Duration timeout = absl::Seconds(20));
  // Forgets the later half of an attempt's events, as whole batches, and says so with a lower
  // acknowledgement. How many events that were.
  size_t ForgetHalf(const AttemptId& id);

 private:
  using Stream = grpc::ServerReaderWriter<v1::ToWorker, v1::FromWorker>;
  grpc::Status Session(grpc::ServerContext* context, Stream* stream) override;
  grpc::Status UploadArtifact(grpc::ServerContext* context,
                              grpc::ServerReader<v1::ArtifactChunk>* reader,
                              v1::UploadReply* reply) override;
  grpc::Status DownloadArtifact(grpc::ServerContext* context, const v1::DownloadRequest* request,
                                grpc::ServerWriter<v1::ArtifactChunk>* writer) override;
  void Welcome(const v1::Hello& hello);
  void Handle(const v1::FromWorker& message);
  void HandleEvents(const v1::EventBatch& batch);
  void Acknowledge(const AttemptId& id);

  const std::string address_;
  std::unique_ptr<grpc::Server> server_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  State state_;
  Stream* stream_ = nullptr;
};

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_TESTING_SCRIPTED_SCHEDULER_H_
