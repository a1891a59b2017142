// What every program does before anything else.
#ifndef QSWEEP_COMMON_START_H_
#define QSWEEP_COMMON_START_H_

namespace qsweep {

// Opens /dev/null in place of standard descriptors that are closed: else the first files that are
// opened take their numbers, and what is printed goes into them. From now on a file that may not
// grow is an error of the write in question, not the death of the process (SIGXFSZ). Call first in
// main.
void StartProgram();

}  // namespace qsweep

#endif  // QSWEEP_COMMON_START_H_
