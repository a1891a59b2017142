// A run's spec as JSON of any bytes: problems, or a spec that has none and keeps its key.
#include <cstddef>
#include <cstdint>

#include "common/spec/spec.h"
#include "common/status.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto spec = qsweep::ParseSpecJson({reinterpret_cast<const char*>(data), size});
  if (!spec.ok()) {
    QSWEEP_CHECK(!spec.status().message().empty());
    return 0;
  }
  QSWEEP_CHECK(qsweep::Problems(*spec).empty());
  const auto again = qsweep::ParseSpecJson(qsweep::CanonicalJson(*spec));
  QSWEEP_CHECK(again.ok() && qsweep::RunKey(*again) == qsweep::RunKey(*spec));
  return 0;
}
