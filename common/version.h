#ifndef QSWEEP_COMMON_VERSION_H_
#define QSWEEP_COMMON_VERSION_H_

namespace qsweep {

inline constexpr char kVersion[] = "0.1.0";
// Of the worker session; a scheduler refuses any other.
inline constexpr int kProtocol = 2;

}  // namespace qsweep

#endif  // QSWEEP_COMMON_VERSION_H_
