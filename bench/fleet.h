// A thousand workers in one process, each with a connection and a session of its own: they speak
// the worker's protocol in full and train nothing.
#ifndef QSWEEP_BENCH_FLEET_H_
#define QSWEEP_BENCH_FLEET_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "qsweep/v1/worker.pb.h"

namespace qsweep::bench {

class FleetWorker;

// What runs do, told by their name: "stream-..." reports metrics for ever, any other starts,
// reports one step and a result, and ends well.
class Fleet {
 public:
  // Every worker has one slot.
  Fleet(const std::string& address, int workers);
  ~Fleet();

  int welcomed() const { return welcomed_; }
  // Runs whose end the scheduler has acknowledged, so that is on disk.
  int64_t finished() const { return finished_; }
  // Likewise metric points.
  int64_t points() const { return points_; }
  // The last step of each streaming run that was acknowledged.
  std::map<int64_t, int64_t> AcknowledgedSteps();
  // Sessions that ended, answers that no worker should get; the first is printed.
  int surprises() const { return surprises_; }
  // What sessions say from now on is no surprise.
  void End() { ending_ = true; }

  static constexpr int kPointsPerStep = 10;
  static constexpr int kStepsPerBatch = 20;

 private:
  friend class FleetWorker;
  void Beat();

  std::atomic<int> welcomed_ = 0;
  std::atomic<int64_t> finished_ = 0;
  std::atomic<int64_t> points_ = 0;
  std::atomic<int> surprises_ = 0;
  std::atomic<bool> ending_ = false;
  std::mutex mutex_;
  std::map<int64_t, int64_t> acknowledged_steps_;  // guarded by mutex_
  std::vector<std::unique_ptr<FleetWorker>> workers_;
  std::thread heartbeats_;
};

}  // namespace qsweep::bench

#endif  // QSWEEP_BENCH_FLEET_H_
