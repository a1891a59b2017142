#include "scheduler/loop.h"

#include <chrono>
#include <future>
#include <vector>

#include "common/log.h"
#include "common/status.h"

namespace qsweep {
namespace {

// So many requests at most share a commit, and workers' messages only for so long: whoever asks for
// something waits for two rounds at most.
constexpr int kMaxRequests = 1000;
constexpr absl::Duration kMessageTime = absl::Milliseconds(10);

}  // namespace

Loop::Loop(storage::Database& database, ArtifactStore& artifacts, const Clock& clock,
           core::State state, int64_t heartbeat_ms)
    : clock_(clock), rounds_(database, artifacts, clock, std::move(state), heartbeat_ms) {
  inbox_.push_back(Rounds::StartWork());
  thread_ = std::thread([this] { Run(); });
}

Loop::~Loop() { Stop(); }

void Loop::Post(Work work) { PostTo(inbox_, std::move(work)); }
void Loop::PostMessage(Work work) { PostTo(messages_, std::move(work)); }

void Loop::PostTo(std::deque<Work>& inbox, Work work) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) return;
  inbox.push_back(std::move(work));
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

Work Loop::Take(std::deque<Work>& inbox) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (inbox.empty()) return nullptr;
  Work work = std::move(inbox.front());
  inbox.pop_front();
  return work;
}

void Loop::Run() {
  while (true) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      const auto anything = [this] { return !inbox_.empty() || !messages_.empty(); };
      posted_.wait_for(lock, absl::ToChronoNanoseconds(rounds_.UntilNextRound()),
                       [&] { return stopping_ || anything(); });
      if (stopping_ && !anything()) return;
    }
    if (const absl::Status status = RunRound(); !status.ok()) {
      LogError(absl::StrCat("stopped: ", status.message()));
      std::lock_guard<std::mutex> lock(mutex_);
      status_ = status;
      stopping_ = true;
      return;
    }
  }
}

absl::Status Loop::RunRound() {
  std::vector<Work> done;  // kept to the end: what waits for a work's release waits for the commit
  Round round(rounds_);
  const auto take = [&](std::deque<Work>& inbox) {
    Work work = Take(inbox);
    if (work == nullptr) return false;
    round.Do(work);
    done.push_back(std::move(work));
    return true;
  };
  for (int i = 0; i < kMaxRequests && take(inbox_); ++i) continue;
  const absl::Duration end = clock_.Monotonic() + kMessageTime;
  while (clock_.Monotonic() < end && take(messages_)) continue;
  RETURN_IF_ERROR(round.Conclude());
  RETURN_IF_ERROR(round.Commit());
  round.Release();
  return absl::OkStatus();
}

}  // namespace qsweep
