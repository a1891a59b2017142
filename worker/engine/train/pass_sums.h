// Sums over the passes of a step, which lanes make at the same time.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_PASS_SUMS_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_PASS_SUMS_H_

#include <ATen/ATen.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "worker/engine/model/parameter.h"

namespace qsweep::engine {

// Every pass makes gradients of its own, which are added in the passes' order, so that the sums are
// the same to the bit whichever lane was faster. A pass is begun only when there is memory for its
// gradients, so the first of those under way can always be finished and added.
class PassSums {
 public:
  // Adds `passes` passes to `totals`. What is made and not yet added takes Copies(lanes) times
  // their memory: a lane of half the others' speed holds none of them up.
  PassSums(std::vector<at::Tensor> totals, int64_t lanes, int64_t passes);
  static int64_t Copies(int64_t lanes) { return lanes + (lanes + 1) / 2; }

  // Adds a pass's gradients to the zeros that it is given, and returns its loss.
  using Make = std::function<double(int64_t pass, Gradients& zeros)>;
  // What each lane does, at the same time as the others: makes the next pass until all are begun.
  // When `make` throws, the sums are without a meaning, and the other lanes return.
  void Work(const Make& make);

  double loss() const { return loss_; }

 private:
  struct Made {
    Gradients gradients;
    double loss = 0;
  };
  void AddInTurn();

  const std::vector<at::Tensor> totals_;
  const int64_t passes_;
  double loss_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool failed_ = false;
  int64_t begun_ = 0, added_ = 0;  // passes
  std::vector<Gradients> zeros_;
  std::map<int64_t, Made> made_;  // by pass; not added yet
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_PASS_SUMS_H_
