// Errors across module borders: absl::Status with a message that says what was wrong, where, and
// what to do. CHECK is for our own broken invariants only; bad input never reaches one.
#ifndef QSWEEP_COMMON_STATUS_H_
#define QSWEEP_COMMON_STATUS_H_

#include <cstdio>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace qsweep {

// The same error with "prefix: " in front: where it happened, said by the caller who knows.
inline absl::Status Annotate(const absl::Status& status, absl::string_view prefix) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(prefix, ": ", status.message()));
}

}  // namespace qsweep

#define QSWEEP_CONCAT_INNER(a, b) a##b
#define QSWEEP_CONCAT(a, b) QSWEEP_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expr)                                                           \
  do {                                                                                  \
    if (absl::Status qsweep_status = (expr); !qsweep_status.ok()) return qsweep_status; \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL(QSWEEP_CONCAT(status_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL(holder, lhs, expr) \
  auto holder = (expr);                          \
  if (!holder.ok()) return holder.status();      \
  lhs = *std::move(holder)

#define QSWEEP_CHECK(condition)                                                              \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      std::fprintf(stderr, "%s:%d: broken invariant: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)

#endif  // QSWEEP_COMMON_STATUS_H_
