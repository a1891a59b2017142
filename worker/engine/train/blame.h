// Who is to answer for an error, carried in the status itself to the place where the run is failed.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_BLAME_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_BLAME_H_

#include <functional>

#include "absl/status/status.h"
#include "qsweep/v1/event.pb.h"

namespace qsweep::engine {

// The same error, blamed on `blame`; a blame it carries already stays.
absl::Status Blamed(const absl::Status& status, v1::Blame blame);

// What it carries; else InvalidArgument is the config's fault and everything else the machine's.
v1::Blame BlameOf(const absl::Status& status);

// The border at which exceptions end. OutOfMemory and bad_alloc are blamed on the resources, as is
// a device's want of memory; ImageError and other errors of CUDA on the machine; any other comes
// from libtorch and is deterministic, so it is blamed on the config.
absl::Status CatchExceptions(const std::function<absl::Status()>& body);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_BLAME_H_
