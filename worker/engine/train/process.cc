#include "worker/engine/train/process.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <malloc.h>
#include <omp.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/cgroup.h"
#include "common/file.h"
#include "common/proc.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/base/device.h"

namespace qsweep::engine {

void ConfigureMalloc() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_ARENA_MAX, 2);
}

int ConfigureThreads(int threads) {
  if (threads == 0) threads = AvailableCores();
  at::set_num_threads(threads);
  // OpenBLAS brings threads of its own, and their number is no part of its linked interface.
  using SetThreads = void (*)(int);
  if (const auto set =
          reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) {
    set(threads);
  }
  return threads;
}

int AvailableCores() {
  // As OpenMP found them, before it bound this thread to one of them (OMP_PROC_BIND).
  const int processors = std::max(1, omp_get_num_procs());
  const double share = std::ceil(CgroupCpuLimit().value_or(processors));
  return std::clamp(static_cast<int>(share), 1, processors);
}

std::vector<std::string> Gpus() {
  const std::string root = "/proc/driver/nvidia/gpus";
  std::vector<std::string> gpus;
  for (const std::string& device : ListDirectory(root).value_or(std::vector<std::string>())) {
    gpus.push_back(FieldAfter(absl::StrCat(root, "/", device, "/information"), "Model:"));
  }
  return gpus;
}

int64_t MemoryLimit(int64_t asked) {
  if (asked > 0) return asked;
  if (const DeviceMemory* device = CountedDevice()) return device->Free();
  return CgroupMemoryLimit().value_or(0);
}

ComputeType ChooseComputeType(const v1::ExperimentSpec& spec) {
  ComputeType compute;
  const bool mixed = spec.training().use_mixed_precision();
  compute.asked = mixed ? spec.quantization().compute_dtype() : "float32";
  compute.used = compute.asked;
  if (ComputeDevice().is_cpu() && compute.asked == "float16") compute.used = "bfloat16";
  if (compute.used == "bfloat16") compute.type = at::kBFloat16;
  if (compute.used == "float16") compute.type = at::kHalf;
  return compute;
}

}  // namespace qsweep::engine
