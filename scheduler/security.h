// DATA/security: what `qscheduler init` makes, and what a scheduler needs to be reached over a
// network.
//   ca.key, ca.pem           the private authority; whoever has the key can pass for the scheduler
//   server.key, server.pem   the scheduler's own certificate
//   address                  HOST:PORT under which others reach it, for invitations
#ifndef QSWEEP_SCHEDULER_SECURITY_H_
#define QSWEEP_SCHEDULER_SECURITY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/certificates.h"

namespace qsweep {

struct Security {
  std::string authority_certificate;
  KeyPair server;
  std::string address;
};

// Makes the authority if there is none yet, and a new server certificate for `hosts`, of which the
// first is where invitations send people, at `port`.
absl::Status InitSecurity(const std::string& data_directory, const std::vector<std::string>& hosts,
                          int port);
// The names of the server's certificate as it is; empty before the first.
std::vector<std::string> FormerHosts(const std::string& data_directory);
// That of the invitations made so far; kDefaultPort before the first.
int FormerPort(const std::string& data_directory);
// nullopt: the directory was never initialized. FailedPrecondition for a certificate that is over.
absl::StatusOr<std::optional<Security>> LoadSecurity(const std::string& data_directory,
                                                     int64_t unix_us);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SECURITY_H_
