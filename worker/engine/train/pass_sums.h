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
// the same to the bit whichever lane was faster. The lanes' calls of Add run at the same time;
// passes are begun in their order.
class PassSums {
 public:
  // Adds to `totals`. What is made and not yet added takes Copies(lanes) times their memory: a lane
  // of half the others' speed holds none of them up.
  PassSums(std::vector<at::Tensor> totals, int64_t lanes);
  static int64_t Copies(int64_t lanes) { return lanes + (lanes + 1) / 2; }

  // Adds what `make` adds to the zeros that it is given, and the loss that it returns. When it
  // throws, the sums are without a meaning: waiting lanes return.
  void Add(int64_t pass, const std::function<double(Gradients&)>& make);

  double loss() const { return loss_; }

 private:
  struct Made {
    Gradients gradients;
    double loss = 0;
  };
  void AddInTurn();

  const std::vector<at::Tensor> totals_;
  double loss_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool failed_ = false;
  int64_t next_ = 0;
  std::vector<Gradients> zeros_;
  std::map<int64_t, Made> made_;  // by pass
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_PASS_SUMS_H_
