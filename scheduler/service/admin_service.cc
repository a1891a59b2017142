#include "scheduler/service/admin_service.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/data_dir.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/proc.h"
#include "common/rpc.h"
#include "common/status.h"
#include "common/utf8.h"
#include "common/version.h"
#include "scheduler/requests.h"
#include "scheduler/service/artifact_transfer.h"
#include "scheduler/service/database_copy.h"
#include "scheduler/service/on_loop.h"

namespace qsweep {
namespace {

constexpr char kCopy[] = "copy-";

// copy-N.db, or SQLite's journal beside it.
bool IsCopy(absl::string_view name) {
  absl::ConsumeSuffix(&name, "-journal");
  return absl::ConsumePrefix(&name, kCopy) && absl::ConsumeSuffix(&name, ".db") &&
         std::all_of(name.begin(), name.end(), absl::ascii_isdigit);
}

v1::Token View(const storage::TokenRow& row) {
  v1::Token view;
  view.set_id(row.id);
  view.set_name(row.name);
  view.set_role(row.role);
  view.set_worker_id(row.worker.value());
  view.set_created_unix_us(row.created_us);
  view.set_revoked_unix_us(row.revoked_us);
  return view;
}

absl::Status CheckTokenRequest(const v1::CreateTokenRequest& request, bool security) {
  RETURN_IF_ERROR(CheckName("token name", request.name()));
  if (!v1::Role_IsValid(request.role()) || request.role() == v1::ROLE_UNSPECIFIED) {
    return absl::InvalidArgumentError("role: must be read, submit, admin or worker");
  }
  if (security) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this scheduler has no certificate, so tokens would travel in the clear; run `qscheduler "
      "init --data-dir DIR --host NAME` and start it again");
}

// A copy on its way to the client; the file goes with it.
class BackupSender : public FileSender {
 public:
  explicit BackupSender(AdminService& service) {
    service.Copy([this](absl::StatusOr<std::string> path) {
      if (const absl::Status status = SendCopy(path); !status.ok()) Finish(ToGrpc(status));
    });
  }
  void OnDone() override { delete this; }

 private:
  absl::Status SendCopy(const absl::StatusOr<std::string>& path) {
    RETURN_IF_ERROR(path.status());
    FileDescriptor fd(::open(path->c_str(), O_RDONLY | O_CLOEXEC));
    const absl::StatusOr<std::string> sha256 = Sha256HexOfFile(*path);
    ::unlink(path->c_str());
    if (!fd.valid()) return ErrnoStatus(errno, *path, "open");
    RETURN_IF_ERROR(sha256.status());
    return Send(std::move(fd), *sha256);
  }
};

}  // namespace

AdminService::AdminService(Loop& loop, Door& door, const Clock& clock, AdminOptions options)
    : loop_(loop),
      door_(door),
      clock_(clock),
      options_(std::move(options)),
      started_(clock.Monotonic()) {
  const std::string& directory = options_.data_directory;
  const absl::StatusOr<std::vector<std::string>> names = ListDirectory(directory);
  if (!names.ok()) return;
  for (const std::string& name : *names) {  // of a scheduler that was killed meanwhile
    if (IsCopy(name)) ::unlink(JoinPath(directory, name).c_str());
  }
}

grpc::ServerUnaryReactor* AdminService::CreateToken(Context* context,
                                                    const v1::CreateTokenRequest* request,
                                                    v1::CreateTokenReply* reply) {
  return OnLoop(loop_, context, [=, this](Turn& turn) -> absl::Status {
    RETURN_IF_ERROR(CheckTokenRequest(*request, options_.security.has_value()));
    ASSIGN_OR_RETURN(const NewToken made, door_.Create(turn, request->name(), request->role()));
    *reply->mutable_token() = View(made.row);
    reply->mutable_credentials()->set_token(made.text);
    reply->mutable_credentials()->set_address(options_.security->address);
    reply->mutable_credentials()->set_ca_certificate(options_.security->authority_certificate);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::ListTokens(Context* context, const v1::ListTokensRequest*,
                                                   v1::ListTokensReply* reply) {
  return OnLoop(loop_, context, [=](Turn& turn) -> absl::Status {
    ASSIGN_OR_RETURN(const auto rows, storage::ListTokens(turn.database()));
    for (const storage::TokenRow& row : rows) *reply->add_tokens() = View(row);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::RevokeToken(Context* context,
                                                    const v1::RevokeTokenRequest* request,
                                                    v1::RevokeTokenReply*) {
  return OnLoop(loop_, context,
                [=, this](Turn& turn) { return door_.Revoke(turn, request->id()); });
}

void AdminService::Copy(std::function<void(absl::StatusOr<std::string>)> done) {
  const std::string directory = options_.data_directory;
  const int64_t bytes = FileSize(JoinPath(directory, kDatabaseFile)).value_or(0);
  const int64_t free = FreeDiskBytes(directory).value_or(0);
  if (free < bytes + options_.disk_reserve_bytes) {
    return done(absl::ResourceExhaustedError(absl::StrCat(
        directory, ": ", free >> 20, " MiB are free; a copy of the database needs ", bytes >> 20,
        " MiB for a moment and ", options_.disk_reserve_bytes >> 20, " MiB must stay")));
  }
  const std::string path = JoinPath(directory, absl::StrCat(kCopy, ++last_copy_, ".db"));
  using Copied = absl::StatusOr<std::shared_ptr<storage::Backup>>;
  CopyDatabase(loop_, path, stop_, [this, path, done = std::move(done)](Copied backup) {
    files_.Post([path, done, backup = std::move(backup)] {
      absl::Status status = backup.ok() ? (*backup)->Finish() : backup.status();
      if (status.ok()) {
        status = storage::CheckDatabaseFile(path);
        if (!status.ok()) ::unlink(path.c_str());
      }
      status.ok() ? done(path) : done(status);
    });
  });
}

grpc::ServerWriteReactor<v1::ArtifactChunk>* AdminService::BackupDatabase(
    Context*, const v1::BackupDatabaseRequest*) {
  return new BackupSender(*this);
}

grpc::ServerUnaryReactor* AdminService::CheckDatabase(Context* context,
                                                      const v1::CheckDatabaseRequest*,
                                                      v1::CheckDatabaseReply* reply) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  Copy([reactor, reply](const absl::StatusOr<std::string>& path) {
    if (path.ok()) {
      reply->set_bytes(FileSize(*path).value_or(0));
      ::unlink(path->c_str());
    }
    reactor->Finish(ToGrpc(path.status()));
  });
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::GetHealth(Context* context, const v1::GetHealthRequest*,
                                                  v1::Health* reply) {
  const std::string& directory = options_.data_directory;
  reply->set_version(kVersion);
  reply->set_protocol(kProtocol);
  reply->set_unix_us(clock_.UnixMicros());
  reply->set_uptime_s(absl::ToInt64Seconds(clock_.Monotonic() - started_));
  reply->set_data_directory(directory);
  const FileSystem system = FileSystemOf(directory).value_or(FileSystem{"unknown", false});
  reply->set_file_system(system.type);
  reply->set_network_file_system(system.network);
  reply->set_disk_free_bytes(FreeDiskBytes(directory).value_or(0));
  reply->set_disk_reserve_bytes(options_.disk_reserve_bytes);
  reply->set_database_bytes(FileSize(JoinPath(directory, kDatabaseFile)).value_or(0));
  reply->set_rss_bytes(ResidentBytes());
  reply->set_memory_available_bytes(BytesAfter("/proc/meminfo", "MemAvailable:"));
  if (options_.security) {
    reply->set_certificate_ends_unix_s(CertificateEnd(options_.security->server.certificate));
  }
  struct stat info;
  reply->set_readable_by_others(::stat(directory.c_str(), &info) == 0 && (info.st_mode & 007) != 0);
  reply->set_database_engine(storage::EngineVersion());
  MakeUtf8(reply);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace qsweep
