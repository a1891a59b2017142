// Who is let in, and to what. On an address that only this machine's users reach, and only its
// owner's directory opens, everyone is; on the others every call brings a token.
#ifndef QSWEEP_SCHEDULER_SERVICE_DOOR_H_
#define QSWEEP_SCHEDULER_SERVICE_DOOR_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/rounds.h"
#include "storage/tokens.h"

namespace qsweep {

struct Caller {
  int64_t token = 0;  // 0: needs none, as on a Unix socket; -1: brought none that is good
};

// The least role for a method, by its path "/qsweep.v1.SweepService/Cancel"; unspecified for one
// that has none yet.
v1::Role LeastRole(absl::string_view method);
// Administrators may call what has no role. Workers may do what workers do and nothing else.
bool MayCall(v1::Role role, absl::string_view method);

// A token as it is stored, and as it is told its owner.
struct NewToken {
  storage::TokenRow row;
  std::string text;
};
absl::StatusOr<NewToken> MakeToken(storage::Transaction& transaction, const std::string& name,
                                   v1::Role role, int64_t unix_us);

// Thread-safe. Knows what is stored.
class Door {
 public:
  explicit Door(std::vector<storage::TokenRow> rows);

  // Unauthenticated, and does not say why.
  absl::StatusOr<storage::TokenRow> Identify(absl::string_view token) const;
  // Unauthenticated once its token is revoked: a stream outlives the check at its beginning.
  absl::Status StillGood(const Caller& caller) const;
  // The only worker that the caller can speak for; empty: any, for a caller that needs no token.
  WorkerId WorkerOf(const Caller& caller) const;
  // The caller says to be this worker. The first to use a token is its owner from then on.
  // PermissionDenied says what is in the way.
  absl::Status Admit(Turn& turn, const Caller& caller, const WorkerId& worker);

  absl::StatusOr<NewToken> Create(Turn& turn, const std::string& name, v1::Role role);
  // NotFound if there is no such good token.
  absl::Status Revoke(Turn& turn, int64_t id);

 private:
  mutable std::mutex mutex_;
  std::map<int64_t, storage::TokenRow> rows_;  // guarded by mutex_; good ones
};

// For a port with TLS: every call's token is looked at before its handler is run.
std::shared_ptr<grpc::AuthMetadataProcessor> MakeTokenProcessor(const Door& door);
// Behind any port. Who makes this call, whatever tokens others bring over the same connection.
Caller CallerOf(const Door& door, const grpc::CallbackServerContext& context);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_DOOR_H_
