// States of runs and whom a failure is blamed on, in words.
#ifndef QSWEEP_COMMON_STATE_NAMES_H_
#define QSWEEP_COMMON_STATE_NAMES_H_

#include <string>

#include "qsweep/v1/sweep.pb.h"

namespace qsweep {

std::string StateName(v1::RunState state);  // pending, running, succeeded, ...
std::string BlameName(v1::Blame blame);     // config, resources, machine, control plane

// Succeeded, failed or cancelled: neither pending nor running.
inline bool HasEnded(v1::RunState state) {
  return state != v1::RUN_STATE_PENDING && state != v1::RUN_STATE_RUNNING;
}

}  // namespace qsweep

#endif  // QSWEEP_COMMON_STATE_NAMES_H_
