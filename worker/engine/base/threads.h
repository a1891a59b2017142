// How work is shared out among threads: an operation that stands alone uses all of them, one inside
// a parallel region its own.
#ifndef QSWEEP_WORKER_ENGINE_BASE_THREADS_H_
#define QSWEEP_WORKER_ENGINE_BASE_THREADS_H_

#include <ATen/Parallel.h>

namespace qsweep::engine {

inline int ThreadsHere() { return at::in_parallel_region() ? 1 : at::get_num_threads(); }

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_BASE_THREADS_H_
