// What this machine's processor can do.
#ifndef QSWEEP_WORKER_ENGINE_BASE_CPU_H_
#define QSWEEP_WORKER_ENGINE_BASE_CPU_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace qsweep::engine {

// Of avx2 (with fma and f16c), avx512 (f, bw, dq, vl), avx512_bf16, avx512_vnni, amx_bf16,
// amx_int8: those that the processor and the operating system both support, in this order.
const std::vector<std::string>& InstructionSets();
bool CpuHas(absl::string_view instruction_set);

// As /proc/cpuinfo names it; of an Arm processor, the codes of its maker and its part. "unknown"
// if it says neither.
std::string CpuModel();

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_BASE_CPU_H_
