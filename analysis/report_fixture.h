// For tests: reports of made-up sweeps, in a directory of the test's own.
#ifndef QSWEEP_ANALYSIS_REPORT_FIXTURE_H_
#define QSWEEP_ANALYSIS_REPORT_FIXTURE_H_

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "analysis/report.h"
#include "analysis/testing.h"
#include "common/file.h"
#include "common/testing/file_tree.h"

namespace qsweep {

class ReportTest : public FileTreeTest {
 protected:
  std::string Out(const std::string& name = "") const {
    return absl::StrCat(root_, "/out", name.empty() ? "" : "/", name);
  }
  std::string Text(const std::string& name) const {
    return ReadFile(Out(name), 1 << 26).value_or("");
  }
  nlohmann::json Json(const std::string& name) const { return nlohmann::json::parse(Text(name)); }
  absl::Status Write(const testing::TestSweep& test) {
    return WriteReport(test.sweep, test.Runs(), test.Reader(),
                       {.directory = Out(), .figures = false});
  }
};

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_REPORT_FIXTURE_H_
