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

}  // namespace

absl::Status InsertArtifact(Transaction& transaction, const ArtifactRow& row) {
  return transaction
      .Execute("INSERT INTO artifacts (sha256, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING",
               row.sha256, row.bytes)
      .status();
}

absl::StatusOr<std::optional<ArtifactRow>> ReadArtifact(Database& database,
                                                        const std::string& sha256) {
  Statement query(database, "SELECT bytes FROM artifacts WHERE sha256 = ?", sha256);
  ASSIGN_OR_RETURN(const bool found, query.Step());
  if (!found) return std::nullopt;
  return ArtifactRow{sha256, query.Int(0)};
}

absl::Status PutArtifactRef(Transaction& transaction, RunId run, ArtifactRole role,
                            const std::string& name, int64_t step, const std::string& sha256) {
  RETURN_IF_ERROR(transaction.ExecuteOne(
      "INSERT INTO artifact_refs (run_id, role, name, step, sha256) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (run_id, role, name) DO UPDATE SET step = excluded.step, "
      "sha256 = excluded.sha256",
      run, RoleText(role), name, step, sha256));
  if (role == ArtifactRole::kUpload) return absl::OkStatus();
  return transaction
      .Execute("DELETE FROM artifact_refs WHERE run_id = ? AND role = 'upload' AND name = ?", run,
               sha256)
      .status();
}

absl::StatusOr<std::vector<std::string>> DropArtifactRefs(Transaction& transaction, RunId run,
                                                          ArtifactRole role, int64_t keep) {
  std::vector<std::string> names, hashes;
  {
    Statement query(transaction.database(),
                    "SELECT name, sha256 FROM artifact_refs WHERE run_id = ? AND role = ? "
                    "ORDER BY step DESC, name DESC LIMIT -1 OFFSET ?",
                    run, RoleText(role), keep);
    while (true) {
      ASSIGN_OR_RETURN(const bool more, query.Step());
      if (!more) break;
      names.push_back(query.Text(0));
      hashes.push_back(query.Text(1));
    }
  }
  std::vector<std::string> forgotten;
  for (size_t i = 0; i < names.size(); ++i) {
    RETURN_IF_ERROR(transaction.ExecuteOne(
        "DELETE FROM artifact_refs WHERE run_id = ? AND role = ? AND name = ?", run, RoleText(role),
        names[i]));
    ASSIGN_OR_RETURN(const int64_t deleted,
                     transaction.Execute("DELETE FROM artifacts WHERE sha256 = ? AND NOT EXISTS "
                                         "(SELECT 1 FROM artifact_refs WHERE sha256 = ?)",
                                         hashes[i], hashes[i]));
    if (deleted > 0) forgotten.push_back(hashes[i]);
  }
  return forgotten;
}

absl::StatusOr<std::vector<std::string>> ListArtifacts(Database& database) {
  Statement query(database, "SELECT sha256 FROM artifacts");
  std::vector<std::string> hashes;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return hashes;
    hashes.push_back(query.Text(0));
  }
}

absl::Status ForgetLostArtifact(Transaction& transaction, const std::string& sha256) {
  RETURN_IF_ERROR(
      transaction.Execute("DELETE FROM artifact_refs WHERE sha256 = ?", sha256).status());
  return transaction.ExecuteOne("DELETE FROM artifacts WHERE sha256 = ?", sha256);
}

absl::Status ForgetUnreferencedArtifacts(Transaction& transaction) {
  return transaction
      .Execute("DELETE FROM artifacts WHERE sha256 NOT IN (SELECT sha256 FROM artifact_refs)")
      .status();
}

absl::StatusOr<std::optional<Checkpoint>> ReadCheckpoint(Database& database, RunId run) {
  Statement query(database,
                  "SELECT step, artifacts.sha256, bytes FROM artifact_refs JOIN artifacts "
                  "ON artifacts.sha256 = artifact_refs.sha256 "
                  "WHERE run_id = ? AND role = 'checkpoint' ORDER BY step DESC LIMIT 1",
                  run);
  ASSIGN_OR_RETURN(const bool found, query.Step());
  if (!found) return std::nullopt;
  return Checkpoint{query.Int(0), {query.Text(1), query.Int(2)}};
}

absl::StatusOr<std::vector<std::pair<RunId, int64_t>>> ListCheckpointSteps(Database& database) {
  Statement query(database,
                  "SELECT run_id, max(step) FROM artifact_refs WHERE role = 'checkpoint' "
                  "GROUP BY run_id ORDER BY run_id");
  return ByRun(query);
}

absl::StatusOr<std::vector<RunId>> ListRunsWithCheckpoint(Database& database,
                                                          const std::string& sha256) {
  Statement query(database,
                  "SELECT run_id FROM artifact_refs WHERE role = 'checkpoint' AND sha256 = ? "
                  "ORDER BY run_id",
                  sha256);
  std::vector<RunId> runs;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return runs;
    runs.emplace_back(query.Int(0));
  }
}

absl::StatusOr<std::optional<ArtifactRow>> ReadProduct(Database& database, RunId run,
                                                       const std::string& name) {
  Statement query(database,
                  "SELECT artifacts.sha256, bytes FROM artifact_refs JOIN artifacts "
                  "ON artifacts.sha256 = artifact_refs.sha256 "
                  "WHERE run_id = ? AND role = 'product' AND name = ?",
                  run, name);
  ASSIGN_OR_RETURN(const bool found, query.Step());
  if (!found) return std::nullopt;
  return ArtifactRow{query.Text(0), query.Int(1)};
}

}  // namespace qsweep::storage
