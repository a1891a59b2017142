#include "worker/agent/testing/scripted_scheduler.h"

#include <algorithm>
#include <chrono>

#include "absl/time/clock.h"
#include "common/attempt_id.h"
#include "common/hash.h"
#include "common/status.h"
#include "worker/agent/event_tail.h"

namespace qsweep {

void ScriptedScheduler::Start() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  QSWEEP_CHECK(server_ != nullptr);
}

void ScriptedScheduler::Stop() {
  if (server_ == nullptr) return;
  With([](State& state) { state.hold_uploads = false; });
  Wake();
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_ = nullptr;
}

void ScriptedScheduler::Send(const v1::ToWorker& message) {
  std::lock_guard<std::mutex> hold(mutex_);
  QSWEEP_CHECK(stream_ != nullptr);
  stream_->Write(message);
}

bool ScriptedScheduler::WaitFor(const std::function<bool(const State&)>& condition,
                                absl::Duration timeout) {
  std::unique_lock<std::mutex> hold(mutex_);
  return changed_.wait_for(hold, absl::ToChronoMilliseconds(timeout),
                           [&] { return condition(state_); });
}

grpc::Status ScriptedScheduler::Session(grpc::ServerContext*, Stream* stream) {
  v1::FromWorker message;
  if (!stream->Read(&message) || !message.has_hello()) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "no hello"};
  }
  {
    std::lock_guard<std::mutex> hold(mutex_);
    state_.hellos.push_back(message.hello());
    changed_.notify_all();
    if (state_.refuse_hellos) return {grpc::StatusCode::FAILED_PRECONDITION, "too old"};
    stream_ = stream;
    state_.connected = !state_.end_sessions;
    Welcome(message.hello());
    if (state_.end_sessions) {
      stream_ = nullptr;
      return grpc::Status::OK;
    }
  }
  while (stream->Read(&message)) {
    absl::SleepFor(With([](State& state) { return state.read_pause; }));
    std::lock_guard<std::mutex> hold(mutex_);
    Handle(message);
    changed_.notify_all();
  }
  std::lock_guard<std::mutex> hold(mutex_);
  stream_ = nullptr;
  state_.connected = false;
  changed_.notify_all();
  return grpc::Status::OK;
}

void ScriptedScheduler::Welcome(const v1::Hello& hello) {
  v1::ToWorker welcome;
  welcome.mutable_welcome()->set_heartbeat_ms(state_.heartbeat_ms);
  for (const v1::HeldAttempt& held : hello.held()) {
    v1::HeldVerdict* const verdict = welcome.mutable_welcome()->add_verdicts();
    *verdict->mutable_attempt() = held.attempt();
    verdict->set_keep(state_.keep_held);
    verdict->set_acked_offset(state_.attempts[FromProto(held.attempt())].offset);
  }
  stream_->Write(welcome);
}

void ScriptedScheduler::Handle(const v1::FromWorker& message) {
  switch (message.kind_case()) {
    case v1::FromWorker::kHeartbeat:
      ++state_.heartbeats;
      state_.refuses = message.heartbeat().refuses();
      for (const v1::AttemptProgress& progress : message.heartbeat().attempts()) {
        state_.attempts[FromProto(progress.attempt())].progress = progress;
      }
      break;
    case v1::FromWorker::kEvents:
      HandleEvents(message.events());
      break;
    case v1::FromWorker::kEnded: {
      AttemptRecord& record = state_.attempts[FromProto(message.ended().attempt())];
      record.ended = message.ended();
      ++record.times_ended;
      if (!state_.acknowledge_ends) break;
      v1::ToWorker acknowledgement;
      *acknowledgement.mutable_ended_ack()->mutable_attempt() = message.ended().attempt();
      stream_->Write(acknowledgement);
      break;
    }
    case v1::FromWorker::kGoodbye:
      state_.goodbye = message.goodbye();
      break;
    default:
      break;
  }
}

void ScriptedScheduler::HandleEvents(const v1::EventBatch& batch) {
  AttemptRecord& record = state_.attempts[FromProto(batch.attempt())];
  if (batch.begin_offset() == record.offset) {
    if (batch.events().empty()) ++record.signs_of_life;
    for (const v1::Event& event : batch.events()) {
      for (const v1::FileFact& file : FilesNamedBy(event)) {
        if (state_.artifacts.count(file.sha256()) == 0) ++record.missing_artifacts;
      }
      record.events.push_back(event);
      record.end_offsets.push_back(batch.end_offset());
    }
    record.offset = batch.end_offset();
  }
  Acknowledge(FromProto(batch.attempt()));
}

void ScriptedScheduler::Acknowledge(const AttemptId& id) {
  v1::ToWorker message;
  *message.mutable_events_ack()->mutable_attempt() = ToProto(id);
  message.mutable_events_ack()->set_offset(state_.attempts[id].offset);
  stream_->Write(message);
}

size_t ScriptedScheduler::ForgetHalf(const AttemptId& id) {
  std::lock_guard<std::mutex> hold(mutex_);
  AttemptRecord& record = state_.attempts[id];
  // Only a whole number of batches: their ends are the offsets this side knows.
  const uint64_t keep = record.end_offsets[record.end_offsets.size() / 2];
  size_t n = 0;
  while (n < record.events.size() && record.end_offsets[n] <= keep) ++n;
  const size_t forgotten = record.events.size() - n;
  record.events.resize(n);
  record.end_offsets.resize(n);
  record.offset = keep;
  Acknowledge(id);
  return forgotten;
}

grpc::Status ScriptedScheduler::UploadArtifact(grpc::ServerContext*,
                                               grpc::ServerReader<v1::ArtifactChunk>* reader,
                                               v1::UploadReply* reply) {
  v1::ArtifactChunk chunk;
  if (!reader->Read(&chunk) || !chunk.has_header()) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "no header"};
  }
  const v1::ArtifactHeader header = chunk.header();
  {
    std::unique_lock<std::mutex> hold(mutex_);
    ++state_.uploads_held;
    changed_.notify_all();
    changed_.wait(hold, [this] { return !state_.hold_uploads; });
    --state_.uploads_held;
    if (!state_.uploads_end.ok()) return state_.uploads_end;
  }
  std::string bytes;
  while (reader->Read(&chunk)) bytes += chunk.data();
  if (static_cast<int64_t>(bytes.size()) != header.bytes() || Sha256Hex(bytes) != header.sha256()) {
    return {grpc::StatusCode::DATA_LOSS, "not what its header says"};
  }
  std::lock_guard<std::mutex> hold(mutex_);
  reply->set_stored(state_.artifacts.emplace(header.sha256(), bytes).second);
  return grpc::Status::OK;
}

grpc::Status ScriptedScheduler::DownloadArtifact(grpc::ServerContext*,
                                                 const v1::DownloadRequest* request,
                                                 grpc::ServerWriter<v1::ArtifactChunk>* writer) {
  std::string bytes;
  {
    std::lock_guard<std::mutex> hold(mutex_);
    const auto it = state_.artifacts.find(request->sha256());
    if (it == state_.artifacts.end()) return {grpc::StatusCode::NOT_FOUND, "no such artifact"};
    bytes = it->second;
    if (state_.damage_downloads > 0) {
      --state_.damage_downloads;
      bytes.back() ^= 1;
    }
  }
  v1::ArtifactChunk chunk;
  chunk.mutable_header()->set_sha256(request->sha256());
  chunk.mutable_header()->set_bytes(static_cast<int64_t>(bytes.size()));
  writer->Write(chunk);
  chunk.set_data(bytes);
  writer->Write(chunk);
  return grpc::Status::OK;
}

}  // namespace qsweep
