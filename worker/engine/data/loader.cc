#include "worker/engine/data/loader.h"

#include <ATen/Parallel.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/base/device.h"
#include "worker/engine/base/random.h"
#include "worker/engine/data/mix.h"

namespace qsweep::engine {
namespace {

constexpr size_t kBatchesAhead = 2;
constexpr int kDecoderNice = 5;
// On one thread a photograph of 500 x 375 takes 3.6 ms, DeiT-tiny's step on it 25 ms in bf16:
// enough for what four train, twice almost.
constexpr int kThreadsPerDecoder = 4;

// To the nearest, as tensors are converted; at::Tensor::copy_ would call for the training threads.
template <typename T>
void NarrowTo(const float* from, int64_t count, T* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = T(from[i]);
}

// To elements `first` and on of a bf16 or fp16 tensor.
void Narrow(const float* from, int64_t count, const at::Tensor& to, int64_t first) {
  if (to.scalar_type() == at::kHalf) {
    NarrowTo(from, count, to.data_ptr<c10::Half>() + first);
  } else {
    NarrowTo(from, count, to.data_ptr<c10::BFloat16>() + first);
  }
}

// work(begin, end) over [0, count) in `threads` runs, the last on this thread. Throws what the
// first of them threw.
template <typename Work>
void Share(int64_t count, int64_t threads, const Work& work) {
  std::vector<std::exception_ptr> errors(threads);
  const auto run = [&](int64_t part) {
    try {
      work(count * part / threads, count * (part + 1) / threads);
    } catch (...) {
      errors[part] = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (int64_t part = 0; part + 1 < threads; ++part) others.emplace_back(run, part);
  run(threads - 1);
  for (std::thread& other : others) other.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

// Where another device trains, all threads are free for it.
int64_t Decoders() {
  const int threads = at::get_num_threads();
  return ComputeDevice().is_cpu() ? std::max(1, threads / kThreadsPerDecoder) : threads;
}

}  // namespace

int64_t LoaderBytes(const v1::Dataset& spec, at::ScalarType type) {
  const int64_t side = spec.image_size(), values = 3 * side * side * spec.batch_size();
  const int64_t size = static_cast<int64_t>(c10::elementSize(type));
  const int64_t bytes = values * size * static_cast<int64_t>(kBatchesAhead + 1);
  if (!Mixes(spec)) return bytes;
  // While images are mixed there are these before and after, in fp32.
  return bytes + values * static_cast<int64_t>(sizeof(float)) * (type == at::kFloat ? 1 : 2);
}

std::vector<int64_t> EpochOrder(uint64_t seed, int64_t epoch, int64_t size) {
  QSWEEP_CHECK(size <= int64_t{UINT32_MAX});
  std::vector<int64_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  RandomStream random(MakeKey(seed, Purpose::kDataOrder), static_cast<uint64_t>(epoch), 0);
  for (int64_t i = size - 1; i > 0; --i) {  // Fisher and Yates
    std::swap(order[i], order[random.NextBelow(static_cast<uint32_t>(i + 1))]);
  }
  return order;
}

Batch EvaluationBatch(const ImageTransform& transform, const Dataset& dataset, int64_t begin,
                      int64_t end) {
  QSWEEP_CHECK(0 <= begin && begin <= end && end <= dataset.size());
  const int64_t side = transform.image_size();
  Batch batch{
      at::empty({end - begin, 3, side, side}, at::kFloat), at::empty({end - begin}, at::kLong), {}};
  float* const images = batch.images.data_ptr<float>();
  int64_t* const labels = batch.labels.data_ptr<int64_t>();
  at::parallel_for(0, end - begin, 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      transform.Evaluation(begin + i, images + i * 3 * side * side);
      labels[i] = dataset.labels[begin + i];
    }
  });
  return batch;
}

class TrainingLoader::Prefetcher {
 public:
  Prefetcher(const v1::ExperimentSpec& spec, const ModelShape& model, const Dataset& dataset,
             at::ScalarType type)
      : dataset_(dataset),
        type_(type),
        transform_(model, spec.dataset().image_size(), dataset),
        spec_(spec.dataset()),
        seed_(static_cast<uint64_t>(spec.seed())),
        batch_size_(spec.dataset().batch_size()),
        steps_per_epoch_((dataset.size() + batch_size_ - 1) / batch_size_),
        decoders_(Decoders()),
        thread_([this] { Run(); }) {}

  ~Prefetcher() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  int64_t steps_per_epoch() const { return steps_per_epoch_; }

  void Seek(int64_t step) {
    {
      std::lock_guard lock(mutex_);
      SeekLocked(step);
    }
    changed_.notify_all();
  }

  Batch Next() {
    std::unique_lock lock(mutex_);
    QSWEEP_CHECK(next_to_make_ >= 0 && "Seek before the first Next");
    changed_.wait(lock, [this] { return !ready_.empty(); });
    Item item = std::move(ready_.front());
    ready_.pop_front();
    if (item.error) SeekLocked(item.step);
    lock.unlock();
    changed_.notify_all();
    if (item.error) std::rethrow_exception(item.error);
    return std::move(item.batch);
  }

 private:
  struct Item {
    int64_t step;
    Batch batch;
    std::exception_ptr error;
  };

  void SeekLocked(int64_t step) {
    next_to_make_ = step;
    ready_.clear();
    ++seeks_;
  }

  void Run() {
    // The trainer's threads come first: a batch is needed only once a step. Threads begun from here
    // inherit it.
    const int nice = ::getpriority(PRIO_PROCESS, 0) + kDecoderNice;
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), std::min(nice, 19));
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] {
        const bool failed =
            !ready_.empty() && ready_.back().error;  // make no more until it is seen
        return stop_ || (next_to_make_ >= 0 && ready_.size() < kBatchesAhead && !failed);
      });
      if (stop_) return;
      const int64_t step = next_to_make_++, seeks = seeks_;
      lock.unlock();
      Item item{step, {}, nullptr};
      try {
        item.batch = Make(step);
      } catch (...) {
        item.error = std::current_exception();
      }
      lock.lock();
      if (seeks == seeks_) ready_.push_back(std::move(item));
      changed_.notify_all();
    }
  }

  Batch Make(int64_t step) {
    const int64_t epoch = step / steps_per_epoch_ + 1;
    if (epoch != order_epoch_) {
      order_ = EpochOrder(seed_, epoch, dataset_.size());
      order_epoch_ = epoch;
    }
    const int64_t begin = step % steps_per_epoch_ * batch_size_;
    const int64_t size = std::min(batch_size_, dataset_.size() - begin);
    const std::vector<int64_t> indices(order_.begin() + begin, order_.begin() + begin + size);
    const AccountScope scope(Account::kOther);
    Batch batch{Images(indices, epoch), at::empty({size}, at::kLong), {}};
    for (int64_t i = 0; i < size; ++i) {
      batch.labels.data_ptr<int64_t>()[i] = dataset_.labels[indices[i]];
    }
    if (Mixes(spec_)) {
      MixBatch(spec_, seed_, epoch, indices, dataset_.classes, &batch);
      if (type_ != at::kFloat) {
        const at::Tensor narrow = at::empty(batch.images.sizes(), type_);
        Narrow(batch.images.data_ptr<float>(), narrow.numel(), narrow, 0);
        batch.images = narrow;
      }
    }
    return batch;
  }

  // In fp32 if they are still to be mixed.
  at::Tensor Images(const std::vector<int64_t>& indices, int64_t epoch) const {
    const int64_t side = transform_.image_size(), values = 3 * side * side;
    const bool narrow = type_ != at::kFloat && !Mixes(spec_);
    const at::Tensor images = at::empty({static_cast<int64_t>(indices.size()), 3, side, side},
                                        narrow ? type_ : at::kFloat);
    Share(images.size(0), decoders_, [&](int64_t begin, int64_t end) {
      std::vector<float> wide(narrow ? values : 0);
      for (int64_t i = begin; i < end; ++i) {
        float* const out = narrow ? wide.data() : images.data_ptr<float>() + i * values;
        transform_.Training(indices[i], spec_, seed_, epoch, out);
        if (narrow) Narrow(out, values, images, i * values);
      }
    });
    return images;
  }

  const Dataset& dataset_;
  const at::ScalarType type_;
  const ImageTransform transform_;
  const v1::Dataset spec_;
  const uint64_t seed_;
  const int64_t batch_size_;
  const int64_t steps_per_epoch_;
  const int64_t decoders_;

  // The thread's own.
  std::vector<int64_t> order_;
  int64_t order_epoch_ = 0;

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::deque<Item> ready_;     // in order of steps
  int64_t next_to_make_ = -1;  // -1: nobody said where to begin
  int64_t seeks_ = 0;          // a batch begun before the last Seek is thrown away
  bool stop_ = false;

  std::thread thread_;  // last: what it uses is there
};

TrainingLoader::TrainingLoader(const v1::ExperimentSpec& spec, const ModelShape& model,
                               const Dataset& dataset, at::ScalarType type) {
  QSWEEP_CHECK(type == at::kFloat || type == at::kBFloat16 || type == at::kHalf);
  QSWEEP_CHECK(dataset.size() > 0 && spec.dataset().batch_size() > 0 &&
               spec.dataset().image_size() > 0);
  prefetcher_ = std::make_unique<Prefetcher>(spec, model, dataset, type);
}
TrainingLoader::~TrainingLoader() = default;
int64_t TrainingLoader::steps_per_epoch() const { return prefetcher_->steps_per_epoch(); }
void TrainingLoader::Seek(int64_t step) { prefetcher_->Seek(step); }
Batch TrainingLoader::Next() { return prefetcher_->Next(); }

}  // namespace qsweep::engine
