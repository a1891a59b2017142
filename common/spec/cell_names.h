// Names for the cells of a sweep.
#ifndef QSWEEP_COMMON_SPEC_CELL_NAMES_H_
#define QSWEEP_COMMON_SPEC_CELL_NAMES_H_

#include <vector>

#include "common/spec/sweep_file.h"

namespace qsweep {

// Sets the name of every cell: MODEL-DATASET-METHOD-WEIGHTS-sSEED, where METHOD is r8 (LoRA's
// rank), full, probe or sensitivity and WEIGHTS is QuantizationLabel without its "+": none, int8,
// nf4dq, ... Where that leaves two different specs with one name, the fields that tell them apart
// are added before the seed, in the order of the .proto: ...-nf4-lr0.001-s42. Only equal specs end
// up with equal names.
void NameCells(std::vector<SweepPlan::Cell>* cells);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_CELL_NAMES_H_
