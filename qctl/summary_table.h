// The table that `qctl run` ends with.
#ifndef QSWEEP_QCTL_SUMMARY_TABLE_H_
#define QSWEEP_QCTL_SUMMARY_TABLE_H_

#include <cstddef>
#include <string>

#include "qctl/terminal.h"
#include "qsweep/v1/summary.pb.h"

namespace qsweep::qctl {

// What all groups share stands in a heading, the rest in columns; then the failures, with reasons,
// and where the files are.
std::string RenderSummary(const v1::SweepSummary& summary, const Style& style, size_t width);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_SUMMARY_TABLE_H_
