// AttemptId as messages carry it.
#ifndef QSWEEP_COMMON_ATTEMPT_ID_H_
#define QSWEEP_COMMON_ATTEMPT_ID_H_

#include "common/ids.h"
#include "qsweep/v1/worker.pb.h"

namespace qsweep {

inline AttemptId FromProto(const v1::Attempt& attempt) {
  return {RunId(attempt.run_id()), AttemptNumber(attempt.number())};
}

inline v1::Attempt ToProto(const AttemptId& id) {
  v1::Attempt attempt;
  attempt.set_run_id(id.run.value());
  attempt.set_number(id.number.value());
  return attempt;
}

}  // namespace qsweep

#endif  // QSWEEP_COMMON_ATTEMPT_ID_H_
