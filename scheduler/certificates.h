// The scheduler's own certificate authority: two key pairs on P-256 and their certificates.
#ifndef QSWEEP_SCHEDULER_CERTIFICATES_H_
#define QSWEEP_SCHEDULER_CERTIFICATES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qsweep {

// PEM.
struct KeyPair {
  std::string key;
  std::string certificate;
};

// Good for ten years. It signs nothing but servers' certificates.
absl::StatusOr<KeyPair> MakeAuthority();
// InvalidArgument unless a certificate can name it: a host name or an IP address.
absl::Status CheckHost(const std::string& host);
// Good for ten years, too, or to its authority's end; for a server reached under these names, each
// a good one.
absl::StatusOr<KeyPair> MakeServerCertificate(const KeyPair& authority,
                                              const std::vector<std::string>& hosts);
// Those it was made for; none if it cannot be read.
std::vector<std::string> HostsOf(const std::string& certificate);

// Whether the certificate is of this key.
bool IsPair(const KeyPair& pair);

// Seconds since 1970; 0 if this is no certificate.
int64_t CertificateEnd(const std::string& certificate);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_CERTIFICATES_H_
