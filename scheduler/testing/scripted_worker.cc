#include "scheduler/testing/scripted_worker.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/rpc.h"
#include "common/version.h"

namespace qsweep {

ScriptedWorker::ScriptedWorker(std::shared_ptr<grpc::Channel> channel, const std::string& id,
                               const std::vector<v1::Attempt>& held, const std::string& name,
                               const std::string& token)
    : stub_(v1::WorkerService::NewStub(channel)) {
  context_.set_deadline(gpr_time_from_seconds(120, GPR_TIMESPAN));
  if (!token.empty()) context_.AddMetadata(kTokenHeader, absl::StrCat(kTokenPrefix, token));
  stream_ = stub_->Session(&context_);
  v1::FromWorker message;
  v1::WorkerInfo* info = message.mutable_hello()->mutable_info();
  info->set_id(id);
  info->set_name(name.empty() ? id : name);
  info->set_protocol(kProtocol);
  info->set_slots(1);
  info->set_memory_bytes(int64_t{64} << 30);
  info->add_datasets("fashion_mnist");
  for (const v1::Attempt& attempt : held) {
    *message.mutable_hello()->add_held()->mutable_attempt() = attempt;
  }
  Send(message);
}

v1::ToWorker ScriptedWorker::Await(v1::ToWorker::KindCase kind) {
  v1::ToWorker message;
  while (stream_->Read(&message)) {
    if (message.kind_case() == kind) return message;
  }
  ADD_FAILURE() << "the stream ended: " << AwaitEnd().error_message();
  return {};
}

grpc::Status ScriptedWorker::AwaitEnd() {
  v1::ToWorker message;
  while (!end_ && stream_->Read(&message)) continue;
  if (!end_) end_ = stream_->Finish();
  return *end_;
}

void ScriptedWorker::SendBeat(const std::vector<v1::Attempt>& attempts) {
  v1::FromWorker message;
  message.mutable_heartbeat();
  for (const v1::Attempt& attempt : attempts) {
    *message.mutable_heartbeat()->add_attempts()->mutable_attempt() = attempt;
  }
  Send(message);
}

void ScriptedWorker::Beat(const std::vector<v1::Attempt>& attempts) {
  SendBeat(attempts);
  Flush();
}

uint64_t ScriptedWorker::SendEvents(const v1::Attempt& attempt, uint64_t begin, uint64_t end,
                                    const std::vector<v1::Event>& events) {
  v1::FromWorker message;
  v1::EventBatch* batch = message.mutable_events();
  *batch->mutable_attempt() = attempt;
  batch->set_begin_offset(begin);
  batch->set_end_offset(end);
  for (const v1::Event& event : events) *batch->add_events() = event;
  Send(message);
  return Await(v1::ToWorker::kEventsAck).events_ack().offset();
}

void ScriptedWorker::SendEnd(const v1::Attempt& attempt, bool succeeded) {
  v1::FromWorker message;
  *message.mutable_ended()->mutable_attempt() = attempt;
  message.mutable_ended()->set_succeeded(succeeded);
  message.mutable_ended()->set_blame(succeeded ? v1::BLAME_UNSPECIFIED : v1::BLAME_CONFIG);
  message.mutable_ended()->set_error(succeeded ? "" : "loss is not finite");
  Send(message);
  Await(v1::ToWorker::kEndedAck);
}

grpc::Status ScriptedWorker::Upload(const v1::Attempt& attempt, const std::string& content,
                                    const std::string& sha256, bool* stored) {
  grpc::ClientContext context;
  v1::UploadReply reply;
  auto writer = stub_->UploadArtifact(&context, &reply);
  v1::ArtifactChunk chunk;
  chunk.mutable_header()->set_sha256(sha256);
  chunk.mutable_header()->set_bytes(static_cast<int64_t>(content.size()));
  *chunk.mutable_header()->mutable_attempt() = attempt;
  writer->Write(chunk);
  for (size_t at = 0; at < content.size(); at += 1 << 20) {
    chunk.set_data(content.substr(at, 1 << 20));
    writer->Write(chunk);
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (stored != nullptr) *stored = reply.stored();
  return status;
}

grpc::Status ScriptedWorker::Download(const std::string& sha256, std::string* content) {
  grpc::ClientContext context;
  v1::DownloadRequest request;
  request.set_sha256(sha256);
  auto reader = stub_->DownloadArtifact(&context, request);
  v1::ArtifactChunk chunk;
  while (reader->Read(&chunk)) *content += chunk.data();
  return reader->Finish();
}

v1::Event Loss(int64_t step, double value) {
  v1::Event event;
  event.mutable_metrics()->set_step(step);
  v1::Point* point = event.mutable_metrics()->add_points();
  point->set_name("loss");
  point->set_value(value);
  return event;
}

v1::Event CheckpointAt(int64_t step, const std::string& content) {
  v1::Event event;
  event.mutable_checkpoint()->set_step(step);
  v1::FileFact* file = event.mutable_checkpoint()->mutable_file();
  file->set_name(absl::StrCat("checkpoint-", step, ".safetensors"));
  file->set_sha256(Sha256Hex(content));
  file->set_bytes(static_cast<int64_t>(content.size()));
  return event;
}

v1::Event FinishedWith(const std::string& name, const std::string& content) {
  v1::Event event;
  v1::RunResult* result = event.mutable_finished()->mutable_result();
  result->set_steps(30);
  result->mutable_best()->set_top1(0.75);
  v1::FileFact* file = result->add_files();
  file->set_name(name);
  file->set_sha256(Sha256Hex(content));
  file->set_bytes(static_cast<int64_t>(content.size()));
  return event;
}

}  // namespace qsweep
