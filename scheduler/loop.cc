#include "scheduler/loop.h"

#include <chrono>
#include <future>

#include "common/log.h"
#include "common/status.h"

namespace qsweep {
namespace {

// So many requests at most share a commit: none waits long for the others.
constexpr size_t kMaxBatch = 1000;

}  // namespace

Loop::Loop(storage::Database& database, ArtifactStore& artifacts, const Clock& clock,
           core::State state, int64_t heartbeat_ms)
    : rounds_(database, artifacts, clock, std::move(state), heartbeat_ms) {
  inbox_.push_back(Rounds::ResumeWork());
  thread_ = std::thread([this] { Run(); });
}

Loop::~Loop() { Stop(); }

void Loop::Post(Work work) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) return;
  inbox_.push_back(std::move(work));
  posted_.notify_one();  // holding the lock: the loop may be gone as soon as it has done this
}

absl::Status Loop::Do(const std::function<absl::Status(Turn&)>& work) {
  absl::Status result = absl::UnavailableError("the scheduler is stopping");
  auto done = std::make_shared<std::promise<void>>();
  const std::future<void> waiting = done->get_future();
  Post([&result, &work, done](Turn& turn) {
    turn.AfterCommit([&result, status = work(turn), done] {  // not before: a commit can fail
      result = status;
      done->set_value();
    });
  });
  done.reset();    // the work holds it now; should the work be dropped, the promise is broken
  waiting.wait();  // and the wait is over, too
  return result;
}

void Loop::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  posted_.notify_one();
  if (thread_.joinable()) thread_.join();
}

absl::Status Loop::status() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return status_;
}

void Loop::Run() {
  while (true) {
    std::vector<Work> batch;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      posted_.wait_for(lock, absl::ToChronoNanoseconds(rounds_.UntilNextRound()),
                       [this] { return stopping_ || !inbox_.empty(); });
      if (stopping_ && inbox_.empty()) return;
      while (!inbox_.empty() && batch.size() < kMaxBatch) {
        batch.push_back(std::move(inbox_.front()));
        inbox_.pop_front();
      }
    }
    if (const absl::Status status = RunBatch(batch); !status.ok()) {
      LogError(absl::StrCat("stopped: ", status.message()));
      std::lock_guard<std::mutex> lock(mutex_);
      status_ = status;
      stopping_ = true;
      return;
    }
  }
}

absl::Status Loop::RunBatch(const std::vector<Work>& batch) {
  Round round(rounds_);
  for (const Work& work : batch) round.Do(work);
  RETURN_IF_ERROR(round.Conclude());
  RETURN_IF_ERROR(round.Commit());
  round.Release();
  return absl::OkStatus();
}

}  // namespace qsweep
