// A sweep file of any bytes: a plan or a list of problems.
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/spec/sweep_file.h"
#include "common/status.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string yaml(reinterpret_cast<const char*>(data), size);
  const auto plan = qsweep::ParseSweep(yaml, "fuzz.yaml");
  if (plan.ok()) {
    QSWEEP_CHECK(!plan->cells.empty());
  } else {
    QSWEEP_CHECK(!plan.status().message().empty());
  }
  return 0;
}
