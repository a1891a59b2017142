#ifndef QSWEEP_SCHEDULER_SERVICE_WORK_THREAD_H_
#define QSWEEP_SCHEDULER_SERVICE_WORK_THREAD_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace qsweep {

// A thread for what takes long, one after the other. gRPC has two threads for everything on a small
// machine: kept busy, they would not read heartbeats.
class WorkThread {
 public:
  WorkThread();
  // Does what was posted before.
  ~WorkThread();
  // Thread-safe.
  void Post(std::function<void()> work);

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable posted_;
  // Guarded by mutex_.
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;

  std::thread thread_;  // last: it uses the rest
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_WORK_THREAD_H_
