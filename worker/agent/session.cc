#include "worker/agent/session.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/log.h"
#include "common/rpc.h"
#include "common/status.h"

namespace qsweep {
namespace {

constexpr absl::Duration kLongestPause = absl::Seconds(5);
// How long nobody may answer before that is said. As long as a connection may take.
constexpr absl::Duration kSilence = absl::Seconds(5);

absl::Duration HeartbeatInterval(const v1::Welcome& welcome) {
  // Whatever the scheduler says, neither a flood nor silence.
  return std::clamp(absl::Milliseconds(welcome.heartbeat_ms()), absl::Milliseconds(50),
                    absl::Minutes(1));
}

}  // namespace

bool IsRefusal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsUnauthenticated(status) ||
         absl::IsPermissionDenied(status);
}

absl::Duration Backoff::Next() {
  const double jitter = std::uniform_real_distribution<double>(0.5, 1.0)(random_);
  const absl::Duration pause = step_ * jitter;
  step_ = std::min(step_ * 1.6, kLongestPause);
  return pause;
}

Session::Session(std::shared_ptr<grpc::Channel> channel, const Clock& clock, Listener listener)
    : channel_(std::move(channel)),
      stub_(v1::WorkerService::NewStub(channel_)),
      clock_(clock),
      listener_(std::move(listener)),
      thread_([this] { Run(); }) {}

Session::~Session() {
  {
    std::lock_guard<std::mutex> hold(mutex_);
    closing_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  changed_.notify_all();
  thread_.join();
}

void Session::Open(v1::Hello hello) {
  {
    std::lock_guard<std::mutex> hold(mutex_);
    hello_ = std::move(hello);
  }
  changed_.notify_all();
}

void Session::Send(v1::FromWorker message) {
  {
    std::lock_guard<std::mutex> hold(mutex_);
    if (!writing_ || leaving_) return;
    outbox_.push_back(std::move(message));
  }
  changed_.notify_all();
}

void Session::SetHeartbeat(v1::Heartbeat heartbeat) {
  {
    std::lock_guard<std::mutex> hold(mutex_);
    heartbeat_due_ |= heartbeat.refuses().empty() != heartbeat_.refuses().empty();
    heartbeat_ = std::move(heartbeat);
  }
  changed_.notify_all();
}

std::pair<v1::Heartbeat, bool> Session::Standing() {
  std::lock_guard<std::mutex> hold(mutex_);
  return {heartbeat_, writing_};
}

void Session::Leave(std::optional<v1::Goodbye> goodbye, absl::Duration timeout) {
  std::unique_lock<std::mutex> hold(mutex_);
  if (writing_ && goodbye.has_value()) {
    *outbox_.emplace_back().mutable_goodbye() = *std::move(goodbye);
    leaving_ = true;
    changed_.notify_all();
    changed_.wait_for(hold, absl::ToChronoMilliseconds(timeout), [this] { return !writing_; });
  }
  closing_ = true;
  if (context_ != nullptr) context_->TryCancel();
  changed_.notify_all();
}

bool Session::Pause(absl::Duration duration) {
  std::unique_lock<std::mutex> hold(mutex_);
  return !changed_.wait_for(hold, absl::ToChronoMilliseconds(duration),
                            [this] { return closing_; });
}

// The channel has a back-off of its own while nobody listens; this returns as soon as somebody
// does, or has not for long. gRPC takes a span as a deadline that far from now.
bool Session::WaitUntilReachable() {
  const absl::Duration begun = clock_.Monotonic();
  while (Pause(absl::ZeroDuration()) && clock_.Monotonic() - begun < kSilence) {
    if (channel_->WaitForConnected(gpr_time_from_millis(200, GPR_TIMESPAN))) return true;
  }
  return false;
}

void Session::Run() {
  Backoff backoff;
  while (Pause(absl::ZeroDuration())) {
    // Where nobody answers a session is tried all the same: it fails, and says why.
    const bool reached = WaitUntilReachable();
    listener_(SessionWanted{});
    std::optional<v1::Hello> hello;
    {
      std::unique_lock<std::mutex> hold(mutex_);
      changed_.wait(hold, [this] { return closing_ || hello_.has_value(); });
      if (closing_) return;
      hello = std::exchange(hello_, std::nullopt);
    }
    bool welcomed = false;
    const absl::Duration begun = clock_.Monotonic();
    const absl::Status status = RunOnce(*std::move(hello), &welcomed);
    listener_(SessionClosed{status});
    if (!reached) continue;
    // One that welcomes this worker and ends the session at once, as over a message that it cannot
    // read, will do so again.
    if (welcomed && clock_.Monotonic() - begun > kLongestPause) backoff.Reset();
    // A scheduler that refuses this worker will do so again: someone has to act first.
    const bool refused = IsRefusal(status);
    if (!Pause(refused ? kLongestPause : backoff.Next())) return;
  }
}

absl::Status Session::RunOnce(v1::Hello hello, bool* welcomed) {
  grpc::ClientContext context;
  {
    std::lock_guard<std::mutex> hold(mutex_);
    if (closing_) return absl::CancelledError("closing");
    context_ = &context;
  }
  const auto stream = stub_->Session(&context);
  v1::FromWorker first;
  *first.mutable_hello() = std::move(hello);
  v1::ToWorker message;
  std::thread writer;
  stream->Write(first);  // if it fails, so does Read
  const bool answered = stream->Read(&message);
  if (answered && message.has_welcome()) {
    *welcomed = true;
    {
      std::lock_guard<std::mutex> hold(mutex_);
      outbox_.clear();
      writing_ = true;
    }
    const absl::Duration interval = HeartbeatInterval(message.welcome());
    writer = std::thread([this, &stream, interval] { WriteLoop(stream.get(), interval); });
    do {
      listener_(std::move(message));
    } while (stream->Read(&message));
  } else if (answered) {
    context.TryCancel();  // only here: it would take the place of the reason why nothing came
  }
  {
    std::lock_guard<std::mutex> hold(mutex_);
    writing_ = false;
  }
  changed_.notify_all();
  if (writer.joinable()) writer.join();
  const grpc::Status status = stream->Finish();
  {
    std::lock_guard<std::mutex> hold(mutex_);
    context_ = nullptr;
  }
  return FromGrpc(status);
}

void Session::WriteLoop(Stream* stream, absl::Duration heartbeat_interval) {
  absl::Duration next_heartbeat = clock_.Monotonic();
  while (true) {
    v1::FromWorker message;
    bool last = false;
    {
      std::unique_lock<std::mutex> hold(mutex_);
      const absl::Duration wait =
          std::max(next_heartbeat - clock_.Monotonic(), absl::ZeroDuration());
      changed_.wait_for(hold, absl::ToChronoNanoseconds(wait),
                        [this] { return !writing_ || heartbeat_due_ || !outbox_.empty(); });
      if (!writing_) return;
      // A heartbeat that is due goes first, so that no load of events can starve it.
      if (std::exchange(heartbeat_due_, false) || clock_.Monotonic() >= next_heartbeat) {
        *message.mutable_heartbeat() = heartbeat_;
        next_heartbeat = clock_.Monotonic() + heartbeat_interval;
      } else if (!outbox_.empty()) {
        message = std::move(outbox_.front());
        outbox_.pop_front();
        last = leaving_ && outbox_.empty();
      } else {
        continue;
      }
    }
    if (!stream->Write(message)) return;  // the reader learns why
    if (last) {
      stream->WritesDone();
      return;
    }
  }
}

}  // namespace qsweep
