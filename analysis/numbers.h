// Numbers as a report prints them, in ASCII: pages and LaTeX have a minus sign of their own.
#ifndef QSWEEP_ANALYSIS_NUMBERS_H_
#define QSWEEP_ANALYSIS_NUMBERS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace qsweep {

std::string FixedNumber(double value, int digits);   // "-0.42", "0.42", "0.00", never "-0.00"
std::string SignedNumber(double value, int digits);  // "-0.42", "+0.42", "+0.00"
std::string PNumber(double p);                       // "0.012", "< 0.001"

std::string Plural(int64_t n, absl::string_view noun);  // "1 run", "2 runs"

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_NUMBERS_H_
