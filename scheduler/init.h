// What `qscheduler init` and `qscheduler check` do, while no scheduler works in the directory.
#ifndef QSWEEP_SCHEDULER_INIT_H_
#define QSWEEP_SCHEDULER_INIT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"

namespace qsweep {

struct InitOptions {
  std::string data_directory;
  // That this machine is reached by; empty: those of before, or else its host name.
  std::vector<std::string> hosts;
  int port = 0;
};

// What others may reach this machine by: `given`, then its own name if a certificate can hold it,
// and its local names. InvalidArgument if that leaves nothing for others.
absl::StatusOr<std::vector<std::string>> CertificateHosts(const std::vector<std::string>& given,
                                                          const std::string& own);

// Makes authority, certificate and a token for an administrator, whose invitation it returns. Once
// more: a new certificate and another token.
absl::StatusOr<std::string> InitDataDirectory(const InitOptions& options, const Clock& clock);

// The database of a data directory, or a copy of one. OK: it is whole.
absl::Status CheckDatabaseAt(const std::string& path);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_INIT_H_
