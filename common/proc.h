// What the kernel says of a process or machine, mostly in files of lines "NAME VALUE".
#ifndef QSWEEP_COMMON_PROC_H_
#define QSWEEP_COMMON_PROC_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace qsweep {

// The rest of the first line whose first word is `name`, a colon included; empty if there is none.
std::string FieldAfter(const std::string& path, absl::string_view name);
// The number it begins with (as in "oom_kill 4"), if it does.
std::optional<int64_t> NumberAfter(const std::string& path, absl::string_view name);
// The same of a line in kB (as in "MemTotal: 123 kB"), in bytes; 0 if there is none.
int64_t BytesAfter(const std::string& path, absl::string_view name);

// Memory of this process; 0 if unknown.
int64_t ResidentBytes();
int64_t PeakResidentBytes();

// This machine's; empty if it has none.
std::string HostName();

}  // namespace qsweep

#endif  // QSWEEP_COMMON_PROC_H_
