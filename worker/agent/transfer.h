// Artifacts to and from the scheduler's store, on a thread of their own.
#ifndef QSWEEP_WORKER_AGENT_TRANSFER_H_
#define QSWEEP_WORKER_AGENT_TRANSFER_H_

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "common/ids.h"
#include "qsweep/v1/worker.grpc.pb.h"

namespace qsweep {

enum class Direction { kUpload, kDownload };

struct Transfer {
  Direction direction = Direction::kUpload;
  AttemptId attempt;  // on whose behalf
  std::string path;   // read from, or written to (atomically, checked against sha256)
  std::string sha256;
  int64_t bytes = 0;
};

struct TransferResult {
  enum Code {
    kDone,
    kTryAgain,    // the connection, or the scheduler for now
    kRefused,     // the scheduler will not change its mind: unknown, not allowed, damaged
    kLocalError,  // on this machine: no file to send, or a full disk
  };
  Code code = kDone;
  std::string message;
  grpc::StatusCode cause = grpc::StatusCode::OK;  // of the same reason as long as it is the same
};

// Does transfers in the order they are given. Thread-safe.
class Courier {
 public:
  using Done = std::function<void(const Transfer&, const TransferResult&)>;
  // `done` is called on the courier's thread.
  Courier(std::shared_ptr<grpc::Channel> channel, Done done);
  // Breaks off the transfer under way; it and those waiting are not reported.
  ~Courier();
  void Enqueue(Transfer transfer);
  // Whether bytes have moved since it was last asked. Breaks off what has stood still for long: a
  // peer that answers keep-alives but takes nothing would hold up all others for ever.
  bool Moved();

 private:
  void Run();
  void OnBytes();
  TransferResult Upload(const Transfer& transfer, grpc::ClientContext* context);
  TransferResult Download(const Transfer& transfer, grpc::ClientContext* context);

  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  const Done done_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::deque<Transfer> queue_;
  grpc::ClientContext* current_ = nullptr;
  absl::Duration moved_at_;  // or begun
  bool moved_ = false;
  bool closing_ = false;

  std::thread thread_;  // last: it uses the rest
};

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_TRANSFER_H_
