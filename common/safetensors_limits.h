#ifndef QSWEEP_COMMON_SAFETENSORS_LIMITS_H_
#define QSWEEP_COMMON_SAFETENSORS_LIMITS_H_

#include <cstdint>

namespace qsweep {

// Of a safetensors header that is read at all: 300 times a ViT's; as JSON in memory it may take 60
// times this.
inline constexpr int64_t kMaxSafetensorsHeaderBytes = int64_t{8} << 20;

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SAFETENSORS_LIMITS_H_
