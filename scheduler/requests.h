// What every request is checked for before it costs anything.
#ifndef QSWEEP_SCHEDULER_REQUESTS_H_
#define QSWEEP_SCHEDULER_REQUESTS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "qsweep/v1/worker.pb.h"

namespace qsweep {

// More than any machine has: what speaks of more memory is damaged.
inline constexpr int64_t kMaxMachineBytes = int64_t{1} << 48;

// By the rules of common/spec/names.h; `what` begins the message.
absl::Status CheckName(absl::string_view what, const std::string& name);
absl::Status CheckSweepName(const std::string& name);

// 0 becomes `standard`; InvalidArgument below 0 or above `most`.
absl::StatusOr<int64_t> PageSize(int64_t asked, int64_t standard, int64_t most);
// The number in a page token; `start` if it is empty.
absl::StatusOr<int64_t> PageStart(const std::string& token, int64_t start);

// InvalidArgument for more items than anyone needs: each costs time with every row.
absl::Status CheckFilter(absl::string_view what, int size);

// FailedPrecondition for another protocol, else InvalidArgument.
absl::Status CheckHello(const v1::Hello& hello);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_REQUESTS_H_
