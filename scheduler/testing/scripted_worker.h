// For tests: what a worker says to a scheduler, by a script.
#ifndef QSWEEP_SCHEDULER_TESTING_SCRIPTED_WORKER_H_
#define QSWEEP_SCHEDULER_TESTING_SCRIPTED_WORKER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "qsweep/v1/worker.grpc.pb.h"

namespace qsweep {

// A worker's side of the protocol, one message at a time.
class ScriptedWorker {
 public:
  // `token`: for a channel that brings none of its own.
  ScriptedWorker(std::shared_ptr<grpc::Channel> channel, const std::string& id,
                 const std::vector<v1::Attempt>& held = {}, const std::string& name = "",
                 const std::string& token = "");
  ~ScriptedWorker() { context_.TryCancel(); }

  void Send(const v1::FromWorker& message) { stream_->Write(message); }
  // The next message of this kind; others are skipped.
  v1::ToWorker Await(v1::ToWorker::KindCase kind);
  // May be asked again: gRPC says it only once.
  grpc::Status AwaitEnd();

  // Lives, with these attempts, of which nothing is new.
  void SendBeat(const std::vector<v1::Attempt>& attempts = {});
  // Returns once what was sent was heard: the end of no attempt at all is acknowledged, too.
  void Flush() { SendEnd({}, true); }
  void Beat(const std::vector<v1::Attempt>& attempts = {});

  // Sends events as the bytes [begin, end) of a log, and returns the offset acknowledged.
  uint64_t SendEvents(const v1::Attempt& attempt, uint64_t begin, uint64_t end,
                      const std::vector<v1::Event>& events);
  void SendEnd(const v1::Attempt& attempt, bool succeeded);
  grpc::Status Upload(const v1::Attempt& attempt, const std::string& content,
                      const std::string& sha256, bool* stored = nullptr);
  grpc::Status Download(const std::string& sha256, std::string* content);

 private:
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::FromWorker, v1::ToWorker>> stream_;
  std::optional<grpc::Status> end_;
};

v1::Event Loss(int64_t step, double value);
v1::Event CheckpointAt(int64_t step, const std::string& content);
v1::Event FinishedWith(const std::string& name, const std::string& content);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_TESTING_SCRIPTED_WORKER_H_
