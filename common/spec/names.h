// What sweeps and runs may be called, and how urgent a sweep may be. Names become parts of
// commands, of paths and of run:SWEEP/RUN.
#ifndef QSWEEP_COMMON_SPEC_NAMES_H_
#define QSWEEP_COMMON_SPEC_NAMES_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace qsweep {

inline constexpr size_t kMaxSweepNameBytes = 100;
inline constexpr size_t kMaxRunNameBytes = 200;

inline constexpr int32_t kMaxPriority = 1000;  // and the least is -kMaxPriority

// That a sweep's name may have.
bool IsNameCharacter(char c);

// Digits alone would be taken for the sweep's number, and a dot at the beginning hides a directory.
bool IsSweepName(absl::string_view name);
inline constexpr char kSweepNameRule[] =
    "must be 1 to 100 letters, digits, '.', '_' and '-', not digits alone and no '.' first";

// Of a run, as NameCells makes them, or of anything else that has no rule of its own.
bool IsName(absl::string_view name);
inline constexpr char kNameRule[] = "must be 1 to 200 letters, digits, '.', '_', '-' and '+'";

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_NAMES_H_
