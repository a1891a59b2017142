#include "storage/tokens.h"

#include "common/enum_text.h"
#include "common/status.h"
#include "storage/text.h"

namespace qsweep::storage {
namespace {

TokenRow RowOf(const Statement& query) {
  TokenRow row;
  row.id = query.Int(0);
  row.name = query.Text(1);
  row.role = EnumFromText<v1::Role>(query.Text(2));
  row.secret_sha256 = query.Text(3);
  row.worker = WorkerId(query.Text(4));
  row.created_us = query.Int(5);
  row.revoked_us = query.Int(6);
  return row;
}

}  // namespace

absl::StatusOr<int64_t> InsertToken(Transaction& transaction, const TokenRow& row) {
  RETURN_IF_ERROR(transaction.ExecuteOne(
      "INSERT INTO tokens (name, role, secret_sha256, created_us) VALUES (?, ?, ?, ?)", row.name,
      EnumText(row.role), row.secret_sha256, row.created_us));
  return transaction.last_insert_id();
}

absl::Status BindToken(Transaction& transaction, int64_t id, const WorkerId& worker) {
  return transaction.ExecuteOne(
      "UPDATE tokens SET worker_id = ? WHERE id = ? AND worker_id IS NULL AND revoked_us IS NULL",
      worker, id);
}

absl::Status RevokeToken(Transaction& transaction, int64_t id, int64_t at_us) {
  return transaction.ExecuteOne(
      "UPDATE tokens SET revoked_us = ? WHERE id = ? AND revoked_us IS NULL", at_us, id);
}

absl::StatusOr<std::vector<TokenRow>> ListTokens(Database& database) {
  Statement query(database,
                  "SELECT id, name, role, secret_sha256, worker_id, created_us, revoked_us "
                  "FROM tokens ORDER BY id");
  return All(query, RowOf);
}

}  // namespace qsweep::storage
