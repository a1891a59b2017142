// The tokens that let programs in; of their secrets the hashes only. Times (_us): microseconds
// since 1970.
#ifndef QSWEEP_STORAGE_TOKENS_H_
#define QSWEEP_STORAGE_TOKENS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/ids.h"
#include "qsweep/v1/credentials.pb.h"
#include "storage/transaction.h"

namespace qsweep::storage {

struct TokenRow {
  int64_t id = 0;
  std::string name;
  v1::Role role = v1::ROLE_UNSPECIFIED;
  std::string secret_sha256;
  WorkerId worker;  // the only one that may use it; empty: none has yet
  int64_t created_us = 0;
  int64_t revoked_us = 0;  // 0: it is good
};

// Ignores row.id, returns the new one.
absl::StatusOr<int64_t> InsertToken(Transaction& transaction, const TokenRow& row);
// Aborted unless it is good and nobody's; FailedPrecondition if the worker has another good one.
absl::Status BindToken(Transaction& transaction, int64_t id, const WorkerId& worker);
// Aborted unless it is good.
absl::Status RevokeToken(Transaction& transaction, int64_t id, int64_t at_us);
// All, in the order of their making.
absl::StatusOr<std::vector<TokenRow>> ListTokens(Database& database);

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_TOKENS_H_
