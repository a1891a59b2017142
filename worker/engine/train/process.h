// The trainer's process: its threads, memory and choice of arithmetic.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_PROCESS_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_PROCESS_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

#include "qsweep/v1/spec.pb.h"

namespace qsweep::engine {

// Once, first in main: memory that libraries ask malloc for is kept for the next step.
void ConfigureMalloc();
// 0 means all cores. Returns how many.
int ConfigureThreads(int threads);

// Processors this process may run on, and no more than its cgroup gives it the time of.
int AvailableCores();
// NVIDIA GPUs of the machine, by model.
std::vector<std::string> Gpus();

// Bytes this process may take: `asked`; where that is 0, its cgroup's limit; 0: any. Of the compute
// device if it has one (base/device.h): `asked`, or what is free there.
int64_t MemoryLimit(int64_t asked);

// Of the matrix products and what is kept for backward: what is asked for, but bf16 in place of
// fp16 on the CPU, which has no kernels for it.
struct ComputeType {
  at::ScalarType type = at::kFloat;
  std::string asked, used;  // as in quantization.compute_dtype
};
ComputeType ChooseComputeType(const v1::ExperimentSpec& spec);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_PROCESS_H_
