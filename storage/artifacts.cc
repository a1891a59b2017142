#include "storage/artifacts.h"

#include "common/status.h"
#include "storage/runs.h"

namespace qsweep::storage {
namespace {

absl::string_view RoleText(ArtifactRole role) {
  switch (role) {
    case ArtifactRole::kUpload:
      return "upload";
    case ArtifactRole::kCheckpoint:
      return "checkpoint";
    case ArtifactRole::kProduct:
      return "product";
  }
  QSWEEP_CHECK(false);
}

// Whether it has gone: it was there, and nothing refers to it.
absl::StatusOr<bool> ForgetIfUnreferenced(Transaction& transaction, const std::string& sha256) {
  ASSIGN_OR_RETURN(const int64_t deleted,
                   transaction.Execute("DELETE FROM artifacts WHERE sha256 = ? AND NOT EXISTS "
                                       "(SELECT 1 FROM artifact_refs WHERE sha256 = ?)",
                                       sha256, sha256));
  return deleted > 0;
}

}  // namespace

absl::Status InsertArtifact(Transaction& transaction, const ArtifactRow& row) {
  return transaction
      .Execute(
          "INSERT INTO artifacts (sha256, bytes) VALUES (?, ?) "
          "ON CONFLICT (sha256) DO UPDATE SET lost = 0",
          row.sha256, row.bytes)
      .status();
}

absl::StatusOr<std::optional<ArtifactRow>> ReadArtifact(Database& database,
                                                        const std::string& sha256) {
  Statement query(database, "SELECT bytes FROM artifacts WHERE sha256 = ? AND lost = 0", sha256);
  return One(query, [&](const Statement& row) { return ArtifactRow{sha256, row.Int(0)}; });
}

absl::Status PutArtifactRef(Transaction& transaction, RunId run, ArtifactRole role,
                            const std::string& name, int64_t step, const std::string& sha256) {
  RETURN_IF_ERROR(transaction.ExecuteOne(
      "INSERT INTO artifact_refs (run_id, role, name, step, sha256) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (run_id, role, name) DO UPDATE SET step = excluded.step, "
      "sha256 = excluded.sha256",
      run, RoleText(role), name, step, sha256));
  if (role == ArtifactRole::kUpload) return absl::OkStatus();
  if (role == ArtifactRole::kCheckpoint) {
    RETURN_IF_ERROR(transaction
                        .Execute("DELETE FROM artifact_refs WHERE run_id = ? "
                                 "AND role = 'checkpoint' AND step > ?",
                                 run, step)
                        .status());
  }
  return transaction
      .Execute("DELETE FROM artifact_refs WHERE run_id = ? AND role = 'upload' AND name = ?", run,
               sha256)
      .status();
}

absl::StatusOr<std::vector<std::string>> DropArtifactRefs(Transaction& transaction, RunId run,
                                                          ArtifactRole role, int64_t keep) {
  Statement query(transaction.database(),
                  "SELECT name, sha256 FROM artifact_refs WHERE run_id = ? AND role = ? "
                  "ORDER BY step DESC, name DESC LIMIT -1 OFFSET ?",
                  run, RoleText(role), keep);
  ASSIGN_OR_RETURN(const auto dropped, All(query, [](const Statement& row) {
                     return std::pair(row.Text(0), row.Text(1));
                   }));
  std::vector<std::string> forgotten;
  for (const auto& [name, hash] : dropped) {
    RETURN_IF_ERROR(transaction.ExecuteOne(
        "DELETE FROM artifact_refs WHERE run_id = ? AND role = ? AND name = ?", run, RoleText(role),
        name));
    ASSIGN_OR_RETURN(const bool gone, ForgetIfUnreferenced(transaction, hash));
    if (gone) forgotten.push_back(hash);
  }
  return forgotten;
}

absl::StatusOr<std::vector<ArtifactRow>> ListArtifacts(Database& database) {
  Statement query(database, "SELECT sha256, bytes, lost FROM artifacts");
  return All(query, [](const Statement& row) {
    return ArtifactRow{row.Text(0), row.Int(1), row.Int(2) != 0};
  });
}

absl::Status LoseArtifact(Transaction& transaction, const std::string& sha256) {
  RETURN_IF_ERROR(transaction.ExecuteOne("UPDATE artifacts SET lost = 1 WHERE sha256 = ?", sha256));
  RETURN_IF_ERROR(
      transaction
          .Execute("DELETE FROM artifact_refs WHERE sha256 = ? AND role <> 'product'", sha256)
          .status());
  return ForgetIfUnreferenced(transaction, sha256).status();
}

absl::Status ForgetUnreferencedArtifacts(Transaction& transaction) {
  return transaction
      .Execute("DELETE FROM artifacts WHERE sha256 NOT IN (SELECT sha256 FROM artifact_refs)")
      .status();
}

absl::StatusOr<std::optional<Checkpoint>> ReadCheckpoint(Database& database, RunId run,
                                                         int64_t last) {
  Statement query(database,
                  "SELECT step, artifacts.sha256, bytes FROM artifact_refs JOIN artifacts "
                  "ON artifacts.sha256 = artifact_refs.sha256 "
                  "WHERE run_id = ? AND role = 'checkpoint' AND step <= ? "
                  "ORDER BY step DESC LIMIT 1",
                  run, last);
  return One(query, [](const Statement& row) {
    return Checkpoint{row.Int(0), {row.Text(1), row.Int(2)}};
  });
}

absl::StatusOr<std::vector<std::pair<RunId, int64_t>>> ListCheckpointSteps(Database& database) {
  Statement query(database,
                  "SELECT run_id, max(step) FROM artifact_refs WHERE role = 'checkpoint' "
                  "GROUP BY run_id ORDER BY run_id");
  return ByRun(query);
}

absl::StatusOr<std::vector<std::pair<RunId, int64_t>>> ListRunsWithCheckpoint(
    Database& database, const std::string& sha256) {
  Statement query(database,
                  "SELECT run_id, step FROM artifact_refs WHERE role = 'checkpoint' AND sha256 = ? "
                  "ORDER BY run_id",
                  sha256);
  return ByRun(query);
}

absl::StatusOr<std::optional<ArtifactRow>> ReadProduct(Database& database, RunId run,
                                                       const std::string& name) {
  Statement query(database,
                  "SELECT artifacts.sha256, bytes FROM artifact_refs JOIN artifacts "
                  "ON artifacts.sha256 = artifact_refs.sha256 "
                  "WHERE run_id = ? AND role = 'product' AND name = ? AND lost = 0",
                  run, name);
  return One(query, [](const Statement& row) { return ArtifactRow{row.Text(0), row.Int(1)}; });
}

absl::StatusOr<std::vector<std::pair<RunId, std::string>>> ListLostProducts(Database& database) {
  Statement query(database,
                  "SELECT run_id, min(artifact_refs.name) FROM artifacts "
                  "JOIN artifact_refs ON artifact_refs.sha256 = artifacts.sha256 "
                  "JOIN runs ON runs.id = run_id "
                  "WHERE lost = 1 AND role = 'product' AND state = 'succeeded' "
                  "AND reused_run_id IS NULL GROUP BY run_id ORDER BY run_id");
  return All(query, [](const Statement& row) { return std::pair(RunId(row.Int(0)), row.Text(1)); });
}

}  // namespace qsweep::storage
