#include "scheduler/service/door.h"

#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/credentials.h"
#include "common/enum_text.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/rpc.h"
#include "common/status.h"

namespace qsweep {
namespace {

// A token is "qs.ID.SECRET".
constexpr char kTokenMark[] = "qs";
constexpr char kNobody[] = "?";   // no worker has such an id (CheckHello)
constexpr int64_t kNoToken = -1;  // no row has such an id

// security_test looks for each of the services' methods here.
struct Rule {
  absl::string_view method;
  v1::Role role;
};
constexpr Rule kRules[] = {
    {"/qsweep.v1.SweepService/SubmitSweep", v1::ROLE_SUBMIT},
    {"/qsweep.v1.SweepService/Cancel", v1::ROLE_SUBMIT},
    {"/qsweep.v1.SweepService/Retry", v1::ROLE_SUBMIT},
    {"/qsweep.v1.SweepService/Pause", v1::ROLE_SUBMIT},
    {"/qsweep.v1.SweepService/Resume", v1::ROLE_SUBMIT},
    {"/qsweep.v1.SweepService/Drain", v1::ROLE_ADMIN},
    {"/qsweep.v1.SweepService/Undrain", v1::ROLE_ADMIN},
    {"/qsweep.v1.SweepService/PlanSweep", v1::ROLE_READ},
    {"/qsweep.v1.SweepService/GetSweep", v1::ROLE_READ},
    {"/qsweep.v1.SweepService/ListSweeps", v1::ROLE_READ},
    {"/qsweep.v1.SweepService/ListRuns", v1::ROLE_READ},
    {"/qsweep.v1.SweepService/GetRun", v1::ROLE_READ},
    {"/qsweep.v1.SweepService/WatchSweep", v1::ROLE_READ},
    {"/qsweep.v1.SweepService/GetMetrics", v1::ROLE_READ},
    {"/qsweep.v1.SweepService/GetLogs", v1::ROLE_READ},
    {"/qsweep.v1.SweepService/ListWorkers", v1::ROLE_READ},
    {"/qsweep.v1.WorkerService/DownloadArtifact", v1::ROLE_READ},
    {"/qsweep.v1.WorkerService/Session", v1::ROLE_WORKER},
    {"/qsweep.v1.WorkerService/UploadArtifact", v1::ROLE_WORKER},
    {"/qsweep.v1.AdminService/GetHealth", v1::ROLE_READ},
    {"/qsweep.v1.AdminService/CreateToken", v1::ROLE_ADMIN},
    {"/qsweep.v1.AdminService/ListTokens", v1::ROLE_ADMIN},
    {"/qsweep.v1.AdminService/RevokeToken", v1::ROLE_ADMIN},
    {"/qsweep.v1.AdminService/BackupDatabase", v1::ROLE_ADMIN},
    {"/qsweep.v1.AdminService/CheckDatabase", v1::ROLE_ADMIN},
    {"/grpc.health.v1.Health/Check", v1::ROLE_READ},
};
constexpr absl::string_view kWorkersDownload = "/qsweep.v1.WorkerService/DownloadArtifact";

// The token that a call brings; empty: none.
absl::string_view TokenOf(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  const auto header = metadata.find(kTokenHeader);
  if (header == metadata.end()) return "";
  absl::string_view token(header->second.data(), header->second.size());
  absl::ConsumePrefix(&token, kTokenPrefix);
  return token;
}

// The context belongs to the connection: all its calls, with whatever tokens, share it without a
// lock, so nothing about a call may be written there. The header stays for CallerOf.
class TokenProcessor : public grpc::AuthMetadataProcessor {
 public:
  explicit TokenProcessor(const Door& door) : door_(door) {}
  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext*, OutputMetadata*,
                       OutputMetadata*) override {
    const absl::string_view token = TokenOf(metadata);
    const auto path = metadata.find(":path");
    if (token.empty() || path == metadata.end()) {
      return ToGrpc(absl::UnauthenticatedError(
          "this scheduler wants a token; `qctl login INVITATION` keeps one for you"));
    }
    const absl::StatusOr<storage::TokenRow> good = door_.Identify(token);
    if (!good.ok()) return ToGrpc(good.status());
    const absl::string_view method(path->second.data(), path->second.size());
    if (!MayCall(good->role, method)) {
      const absl::string_view call = method.substr(method.rfind('/') + 1);
      return ToGrpc(absl::PermissionDeniedError(absl::StrCat(
          "a token for ", EnumText(good->role), " does not allow ", call,
          good->role == v1::ROLE_WORKER ? "; its invitation is for qworker --join" : "",
          call == "Session" ? "; `qctl workers invite NAME` prints a machine's invitation" : "")));
    }
    return grpc::Status::OK;
  }

 private:
  const Door& door_;
};

}  // namespace

v1::Role LeastRole(absl::string_view method) {
  const auto rule = std::find_if(std::begin(kRules), std::end(kRules),
                                 [&](const Rule& r) { return r.method == method; });
  return rule == std::end(kRules) ? v1::ROLE_UNSPECIFIED : rule->role;
}

bool MayCall(v1::Role role, absl::string_view method) {
  const v1::Role least = LeastRole(method);
  if (role == v1::ROLE_WORKER) return least == v1::ROLE_WORKER || method == kWorkersDownload;
  if (least == v1::ROLE_WORKER) return false;
  return role >= (least == v1::ROLE_UNSPECIFIED ? v1::ROLE_ADMIN : least);
}

absl::StatusOr<NewToken> MakeToken(storage::Transaction& transaction, const std::string& name,
                                   v1::Role role, int64_t unix_us) {
  const std::string secret = NewSecret();
  NewToken made;
  made.row.name = name;
  made.row.role = role;
  made.row.secret_sha256 = Sha256Hex(secret);
  made.row.created_us = unix_us;
  ASSIGN_OR_RETURN(made.row.id, storage::InsertToken(transaction, made.row));
  made.text = absl::StrCat(kTokenMark, ".", made.row.id, ".", secret);
  return made;
}

Door::Door(std::vector<storage::TokenRow> rows) {
  for (storage::TokenRow& row : rows) {
    if (row.revoked_us == 0) rows_.emplace(row.id, std::move(row));
  }
}

absl::StatusOr<storage::TokenRow> Door::Identify(absl::string_view token) const {
  const std::vector<absl::string_view> parts = absl::StrSplit(token, absl::MaxSplits('.', 2));
  int64_t id = 0;
  if (parts.size() == 3 && parts[0] == kTokenMark && absl::SimpleAtoi(parts[1], &id)) {
    const std::string hash = Sha256Hex(parts[2]);
    std::lock_guard<std::mutex> lock(mutex_);
    const auto row = rows_.find(id);
    if (row != rows_.end() && SecretsEqual(hash, row->second.secret_sha256)) {
      return row->second;
    }
  }
  return absl::UnauthenticatedError(
      "this token is not, or no longer, good here; ask who runs the scheduler for another");
}

absl::Status Door::StillGood(const Caller& caller) const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (caller.token == 0 || rows_.contains(caller.token)) return absl::OkStatus();
  return absl::UnauthenticatedError("the token was revoked");
}

WorkerId Door::WorkerOf(const Caller& caller) const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (caller.token == 0) return WorkerId();
  const auto row = rows_.find(caller.token);
  const bool bound = row != rows_.end() && row->second.worker != WorkerId();
  return bound ? row->second.worker : WorkerId(kNobody);
}

absl::Status Door::Admit(Turn& turn, const Caller& caller, const WorkerId& worker) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (caller.token == 0) return absl::OkStatus();
  const auto row = rows_.find(caller.token);
  if (row == rows_.end()) return absl::UnauthenticatedError("the token was revoked");
  if (row->second.worker == worker) return absl::OkStatus();
  if (row->second.worker != WorkerId()) {
    return absl::PermissionDeniedError(
        "this token is another worker's; `qctl workers invite NAME` makes one for each machine");
  }
  for (const auto& [id, other] : rows_) {
    if (other.worker != worker) continue;
    return absl::PermissionDeniedError(absl::StrCat("this worker has token ", id,
                                                    " already; `qctl tokens revoke ", id,
                                                    "` lets it use a new one"));
  }
  // Should the commit fail, this process ends.
  RETURN_IF_ERROR(storage::BindToken(turn.transaction, caller.token, worker));
  row->second.worker = worker;
  LogInfo(absl::StrCat("token ", caller.token, " (", row->second.name, ") now is worker ",
                       worker.value(), "'s"));
  return absl::OkStatus();
}

absl::StatusOr<NewToken> Door::Create(Turn& turn, const std::string& name, v1::Role role) {
  ASSIGN_OR_RETURN(NewToken made, MakeToken(turn.transaction, name, role, turn.unix_us));
  std::lock_guard<std::mutex> lock(mutex_);
  rows_.emplace(made.row.id, made.row);
  LogInfo(absl::StrCat("token ", made.row.id, " (", name, ") made, for ", EnumText(role)));
  return made;
}

absl::Status Door::Revoke(Turn& turn, int64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!rows_.contains(id)) {
    return absl::NotFoundError(
        absl::StrCat("no good token ", id, "; `qctl tokens` lists them all"));
  }
  RETURN_IF_ERROR(storage::RevokeToken(turn.transaction, id, turn.unix_us));
  rows_.erase(id);
  LogInfo(absl::StrCat("token ", id, " revoked"));
  return absl::OkStatus();
}

std::shared_ptr<grpc::AuthMetadataProcessor> MakeTokenProcessor(const Door& door) {
  return std::make_shared<TokenProcessor>(door);
}

// The processor lets nobody without a token past a port with TLS, but it may be revoked since.
Caller CallerOf(const Door& door, const grpc::CallbackServerContext& context) {
  const std::vector<grpc::string_ref> transport =
      context.auth_context()->FindPropertyValues(GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME);
  if (transport.empty() || transport[0] != GRPC_SSL_TRANSPORT_SECURITY_TYPE) return Caller{};
  const absl::StatusOr<storage::TokenRow> good = door.Identify(TokenOf(context.client_metadata()));
  return Caller{good.ok() ? good->id : kNoToken};
}

}  // namespace qsweep
