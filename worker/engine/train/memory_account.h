// Where a run's bytes are: the allocator's accounts and the kernel's count, in the words of the
// result and of the metrics.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_MEMORY_ACCOUNT_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_MEMORY_ACCOUNT_H_

#include <cstdint>

#include "qsweep/v1/event.pb.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/trainer.pb.h"

namespace qsweep::engine {

// Live bytes of what lasts, peaks of activations and of the total since ResetPeak, the highest
// resident size of the process, and the plan for steps of `batch_size` images. rss_before_bytes and
// held_before_bytes are the caller's.
v1::MemoryAccount CurrentMemoryAccount(int64_t batch_size, const v1::StepPlan& plan);

// The same now, as points: memory/weights_bytes and so on, with memory/rss_bytes.
void AddMemoryPoints(v1::Metrics* metrics);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_MEMORY_ACCOUNT_H_
