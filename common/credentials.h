// Credentials on their way between a scheduler and those it lets in, and at rest.
#ifndef QSWEEP_COMMON_CREDENTIALS_H_
#define QSWEEP_COMMON_CREDENTIALS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "qsweep/v1/credentials.pb.h"

namespace qsweep {

// One line without spaces, "qsweep1-...", to be pasted into a command.
std::string FormatInvitation(const v1::Credentials& credentials);
// InvalidArgument if it is none, or was cut.
absl::StatusOr<v1::Credentials> ParseInvitation(absl::string_view text);

// JSON that only its owner can read. Load: NotFound if there is no file; PermissionDenied if others
// can read it.
absl::Status SaveCredentials(const std::string& path, const v1::Credentials& credentials);
absl::StatusOr<v1::Credentials> LoadCredentials(const std::string& path);

// Where a person's credentials for the scheduler at HOST:PORT lie: qsweep/HOST:PORT.json in
// $XDG_CONFIG_HOME or ~/.config.
std::string UserCredentialsPath(const std::string& address);

// 256 bits nobody can guess, as text.
std::string NewSecret();
// In a time that does not depend on where they differ.
bool SecretsEqual(absl::string_view a, absl::string_view b);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_CREDENTIALS_H_
