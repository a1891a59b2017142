// The core's effects as rows.
#ifndef QSWEEP_SCHEDULER_PERSISTENCE_H_
#define QSWEEP_SCHEDULER_PERSISTENCE_H_

#include "scheduler/core/effects.h"
#include "scheduler/rounds.h"

namespace qsweep {

// A write that fails is the transaction's to remember: it will not commit.
void StoreChange(Turn& turn, const core::Change& change);

// Fills in what the turn's assign messages leave to the one who stores: name, spec, and the content
// to go on or to start from.
absl::Status CompleteAssigns(Turn& turn);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_PERSISTENCE_H_
