#include "worker/engine/train/pass_sums.h"

#include <utility>

#include "worker/engine/base/allocator.h"

namespace qsweep::engine {

PassSums::PassSums(std::vector<at::Tensor> totals, int64_t lanes, int64_t passes)
    : totals_(std::move(totals)), passes_(passes) {
  const AccountScope scope(Account::kActivations);  // they live for the step only
  for (int64_t copy = 0; copy < Copies(lanes); ++copy) {
    std::vector<at::Tensor> zeros;
    for (const at::Tensor& total : totals_) zeros.push_back(at::zeros_like(total));
    zeros_.emplace_back(std::move(zeros));
  }
}

void PassSums::Work(const Make& make) {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto over = [&] { return failed_ || begun_ == passes_; };
    changed_.wait(lock, [&] { return over() || !zeros_.empty(); });
    if (over()) return;
    const int64_t pass = begun_++;
    Made made{std::move(zeros_.back())};
    zeros_.pop_back();
    lock.unlock();
    try {
      made.loss = make(pass, made.gradients);
    } catch (...) {
      lock.lock();
      failed_ = true;
      changed_.notify_all();
      throw;
    }
    lock.lock();
    made_.emplace(pass, std::move(made));
    AddInTurn();
  }
}

void PassSums::AddInTurn() {
  for (auto it = made_.find(added_); it != made_.end(); it = made_.find(++added_)) {
    Made made = std::move(made_.extract(it).mapped());
    loss_ += made.loss;
    for (size_t i = 0; i < totals_.size(); ++i) {
      totals_[i].add_(made.gradients.sums()[i]);
      made.gradients.sums()[i].zero_();
    }
    zeros_.push_back(std::move(made.gradients));
  }
  changed_.notify_all();
}

}  // namespace qsweep::engine
