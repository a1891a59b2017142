#include "bench/fleet.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/rpc.h"
#include "common/version.h"
#include "qsweep/v1/worker.grpc.pb.h"

namespace qsweep::bench {
namespace {

constexpr int64_t kMemoryBytes = int64_t{64} << 30;
constexpr auto kHeartbeatInterval = std::chrono::seconds(5);  // the scheduler's default

void AddPoint(const std::string& name, double value, v1::Metrics* metrics) {
  v1::Point* point = metrics->add_points();
  point->set_name(name);
  point->set_value(value);
}

void AddStep(int64_t step, v1::EventBatch* batch) {
  static const std::vector<std::string>& names =
      *new std::vector<std::string>{"loss",
                                    "learning_rate",
                                    "images_per_s",
                                    "gradient_norm",
                                    "gradient_norm/attention/mean",
                                    "gradient_norm/attention/std",
                                    "gradient_norm/attention/max",
                                    "gradient_norm/mlp/mean",
                                    "gradient_norm/mlp/std",
                                    "gradient_norm/mlp/max"};
  static_assert(Fleet::kPointsPerStep == 10);
  v1::Metrics* metrics = batch->add_events()->mutable_metrics();
  metrics->set_step(step);
  metrics->set_epoch(1);
  for (size_t i = 0; i < names.size(); ++i) {
    AddPoint(names[i], 0.1 * static_cast<double>(step * 31 + static_cast<int64_t>(i)), metrics);
  }
}

void FillEvaluation(v1::Evaluation* evaluation) {
  evaluation->set_epoch(1);
  evaluation->set_loss(0.4321);
  evaluation->set_top1(0.8765);
  evaluation->set_top5(0.9876);
  evaluation->set_macro_precision(0.87);
  evaluation->set_macro_recall(0.86);
  evaluation->set_macro_f1(0.865);
  evaluation->set_images(10'000);
  for (int i = 0; i < 100; ++i) evaluation->add_confusion(i % 11 == 0 ? 876 : 12);
}

// What a trainer says of a run of one step on a data set of ten classes. Without files: those
// travel in calls of their own.
const v1::RunResult& Result() {
  static const v1::RunResult& result = *[] {
    auto* made = new v1::RunResult;
    made->set_model("vit_mini_patch4_28");
    made->set_method("full");
    made->set_epochs(1);
    made->set_steps(1);
    made->set_best_epoch(1);
    FillEvaluation(made->mutable_best());
    FillEvaluation(made->mutable_final());
    made->set_final_train_loss(0.5);
    made->set_total_parameters(1'000'000);
    made->set_trainable_parameters(1'000'000);
    made->mutable_memory()->set_peak_bytes(300 << 20);
    made->mutable_memory()->set_rss_peak_bytes(400 << 20);
    made->mutable_memory()->set_micro_batch(32);
    made->mutable_memory()->set_accumulation_steps(1);
    made->mutable_memory()->set_gradient_checkpointing("none");
    made->mutable_provenance()->set_cpu("simulated");
    made->set_train_seconds(1);
    made->set_images_per_s(32);
    return made;
  }();
  return result;
}

}  // namespace

class FleetWorker : public grpc::ClientBidiReactor<v1::FromWorker, v1::ToWorker> {
 public:
  FleetWorker(Fleet& fleet, const std::string& address, const std::string& name)
      : fleet_(fleet), stub_(v1::WorkerService::NewStub(MakeChannel(address))) {
    stub_->async()->Session(&context_, this);
    StartRead(&received_);
    StartCall();
    v1::FromWorker message;
    v1::WorkerInfo* info = message.mutable_hello()->mutable_info();
    info->set_id(name);
    info->set_name(name);
    info->set_version(kVersion);
    info->set_protocol(kProtocol);
    info->set_slots(1);
    info->set_cores(2);
    info->set_memory_bytes(kMemoryBytes);
    for (const char* set : {"avx2", "avx512", "avx512_bf16"}) info->add_instruction_sets(set);
    for (const char* data : {"cifar10", "cifar100", "fashion_mnist"}) info->add_datasets(data);
    Send(std::move(message));
  }
  ~FleetWorker() override {
    context_.TryCancel();
    std::unique_lock<std::mutex> lock(mutex_);
    gone_.wait(lock, [this] { return done_; });
  }

  void Send(v1::FromWorker message) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (done_) return;
    outbox_.push_back(std::move(message));
    if (outbox_.size() == 1) StartWrite(&outbox_.front());
  }

  void Beat() {
    v1::FromWorker message;
    v1::Heartbeat* heartbeat = message.mutable_heartbeat();
    heartbeat->set_cpu_load(1);
    heartbeat->set_memory_free_bytes(kMemoryBytes);
    heartbeat->set_disk_free_bytes(kMemoryBytes);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!welcomed_) return;
      if (attempt_.run_id() != 0) {
        v1::AttemptProgress* progress = heartbeat->add_attempts();
        *progress->mutable_attempt() = attempt_;
        progress->set_step(step_);
        progress->set_images_per_s(100);
      }
    }
    Send(std::move(message));
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard<std::mutex> lock(mutex_);
    outbox_.pop_front();
    if (ok && !outbox_.empty()) StartWrite(&outbox_.front());
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    Take(received_);
    StartRead(&received_);
  }
  void OnDone(const grpc::Status& status) override {
    Complain(absl::StrCat("the session ended: ", status.error_message()));
    std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
    gone_.notify_all();  // holding the lock: the worker may be gone as soon as it has done this
  }

 private:
  // One at a time: gRPC reads the next message when this returns.
  void Take(const v1::ToWorker& message) {
    switch (message.kind_case()) {
      case v1::ToWorker::kWelcome: {
        std::lock_guard<std::mutex> lock(mutex_);
        welcomed_ = true;
        ++fleet_.welcomed_;
        return;
      }
      case v1::ToWorker::kAssign:
        return Begin(message.assign());
      case v1::ToWorker::kEventsAck:
        return Acknowledged(message.events_ack());
      case v1::ToWorker::kEndedAck:
        ++fleet_.finished_;
        return;
      case v1::ToWorker::kStop:
        return Complain(message.ShortDebugString());
      case v1::ToWorker::KIND_NOT_SET:
        return;
    }
  }

  void Begin(const v1::Assign& assign) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      attempt_ = assign.attempt();
      step_ = 0;
    }
    offset_ = 0;
    streams_ = absl::StartsWith(assign.run_name(), "stream-");
    v1::EventBatch batch;
    v1::Started* started = batch.add_events()->mutable_started();
    started->set_total_steps(streams_ ? 1'000'000 : 1);
    started->set_micro_batch(32);
    if (streams_) return SendBatch(std::move(batch), Fleet::kStepsPerBatch);
    v1::Event last;
    *last.mutable_finished()->mutable_result() = Result();
    SendBatch(std::move(batch), 1, &last);
  }

  void SendBatch(v1::EventBatch batch, int steps, const v1::Event* last = nullptr) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      *batch.mutable_attempt() = attempt_;
      for (int i = 0; i < steps; ++i) AddStep(++step_, &batch);
    }
    if (last != nullptr) *batch.add_events() = *last;
    batch.set_begin_offset(offset_);
    offset_ += batch.ByteSizeLong();
    batch.set_end_offset(offset_);
    sent_points_ = steps * Fleet::kPointsPerStep;
    v1::FromWorker message;
    *message.mutable_events() = std::move(batch);
    Send(std::move(message));
  }

  void Acknowledged(const v1::EventsAck& ack) {
    if (ack.offset() != offset_) {
      return Complain(ack.ShortDebugString());
    }
    fleet_.points_ += sent_points_;
    if (streams_) {
      {
        std::lock_guard<std::mutex> lock(fleet_.mutex_);
        fleet_.acknowledged_steps_[ack.attempt().run_id()] = step_;
      }
      return SendBatch({}, Fleet::kStepsPerBatch);
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      attempt_.Clear();
    }
    v1::FromWorker message;
    *message.mutable_ended()->mutable_attempt() = ack.attempt();
    message.mutable_ended()->set_succeeded(true);
    Send(std::move(message));
  }

  void Complain(const std::string& what) {
    if (fleet_.ending_ || fleet_.surprises_++ > 0) return;
    std::fprintf(stderr, "unexpected, and not the last: %s\n", what.c_str());
  }

  Fleet& fleet_;
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  grpc::ClientContext context_;
  v1::ToWorker received_;
  // What its reads are about: used by one of them at a time.
  bool streams_ = false;
  uint64_t offset_ = 0;
  int sent_points_ = 0;

  std::mutex mutex_;
  std::condition_variable gone_;
  // Guarded by mutex_.
  std::deque<v1::FromWorker> outbox_;  // the first is being written
  v1::Attempt attempt_;                // none: run 0
  int64_t step_ = 0;
  bool welcomed_ = false;
  bool done_ = false;
};

Fleet::Fleet(const std::string& address, int workers) {
  workers_.reserve(static_cast<size_t>(workers));
  for (int i = 0; i < workers; ++i) {
    workers_.push_back(std::make_unique<FleetWorker>(*this, address, absl::StrCat("worker-", i)));
  }
  heartbeats_ = std::thread([this] { Beat(); });
}

Fleet::~Fleet() {
  ending_ = true;
  heartbeats_.join();
  workers_.clear();
}

// Spread over the interval, as those of a thousand machines are.
void Fleet::Beat() {
  const auto pause =
      std::chrono::nanoseconds(kHeartbeatInterval) / static_cast<int64_t>(workers_.size());
  auto next = std::chrono::steady_clock::now();
  for (size_t i = 0; !ending_; i = (i + 1) % workers_.size()) {
    workers_[i]->Beat();
    next += pause;
    std::this_thread::sleep_until(next);
  }
}

std::map<int64_t, int64_t> Fleet::AcknowledgedSteps() {
  std::lock_guard<std::mutex> lock(mutex_);
  return acknowledged_steps_;
}

}  // namespace qsweep::bench
