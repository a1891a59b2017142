// What several threads have to say to one.
#ifndef QSWEEP_WORKER_AGENT_INBOX_H_
#define QSWEEP_WORKER_AGENT_INBOX_H_

#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace qsweep {

template <typename Message>
class Inbox {
 public:
  // Thread-safe.
  void Put(Message message) {
    {
      std::lock_guard<std::mutex> hold(mutex_);
      messages_.push_back(std::move(message));
    }
    changed_.notify_one();
  }

  // All there are, in order, once there is one; none after `timeout`.
  std::vector<Message> TakeAll(absl::Duration timeout) {
    std::unique_lock<std::mutex> hold(mutex_);
    changed_.wait_for(hold, absl::ToChronoMilliseconds(timeout),
                      [this] { return !messages_.empty(); });
    return std::exchange(messages_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Message> messages_;
};

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_INBOX_H_
