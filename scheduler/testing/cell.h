// For tests of whatever takes sweeps.
#ifndef QSWEEP_SCHEDULER_TESTING_CELL_H_
#define QSWEEP_SCHEDULER_TESTING_CELL_H_

#include "qsweep/v1/sweep.pb.h"

namespace qsweep {

// A run "c" that needs no weights.
inline v1::Cell CellWithoutWeights() {
  v1::Cell cell;
  cell.set_name("c");
  cell.mutable_spec()->mutable_model()->set_name("vit_mini_patch4_28");
  cell.mutable_spec()->mutable_model()->set_pretrained(false);
  cell.mutable_spec()->mutable_dataset()->set_name("fashion_mnist");
  cell.mutable_spec()->mutable_training()->set_method("full");
  return cell;
}

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_TESTING_CELL_H_
