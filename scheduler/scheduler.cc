#include "scheduler/scheduler.h"

#include <grpc/support/time.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/address.h"
#include "common/data_dir.h"
#include "common/log.h"
#include "common/rpc.h"
#include "common/status.h"
#include "scheduler/metrics_page.h"
#include "scheduler/recovery.h"
#include "scheduler/security.h"
#include "storage/tokens.h"

namespace qsweep {
namespace {

constexpr int kShutdownGraceSeconds = 2;   // for calls under way
constexpr int kMaxConcurrentCalls = 1000;  // on one connection

// Whether a process accepts connections on the socket.
bool IsListening(const std::string& path) {
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path) return false;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd.valid() &&
         ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

absl::Status AddressTaken(const std::string& listen) {
  return absl::UnavailableError(absl::StrCat(
      listen,
      ": cannot listen there: another program uses the address, or this machine does not have it; "
      "see --listen"));
}

// gRPC replaces a socket file whether or not somebody listens; a living one must stay.
absl::Status CheckSocket(const std::string& listen) {
  absl::string_view text = listen;
  if (!absl::ConsumePrefix(&text, kSocketPrefix)) return absl::OkStatus();
  const std::string path(text);
  const std::string directory = std::filesystem::absolute(path).parent_path();
  if (!PathExists(directory)) {
    return absl::NotFoundError(absl::StrCat("--listen ", listen, ": ", directory, " is not there"));
  }
  return IsListening(path) ? AddressTaken(listen) : absl::OkStatus();
}

absl::Status CheckPrivate(const std::string& listen) {
  if (IsLocalAddress(listen)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--listen ", listen,
      ": other machines can reach this address, and there is neither certificate nor token; run "
      "`qscheduler init --data-dir DIR --host NAME` first, or add --insecure on a network you "
      "trust"));
}

std::shared_ptr<grpc::ServerCredentials> PortCredentials(const std::string& listen,
                                                         const std::optional<Security>& security,
                                                         const Door& door) {
  if (IsSocketAddress(listen) || !security) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  options.pem_key_cert_pairs.push_back({security->server.key, security->server.certificate});
  auto credentials = grpc::SslServerCredentials(options);
  credentials->SetAuthMetadataProcessor(MakeTokenProcessor(door));
  return credentials;
}

void Configure(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kReadAheadBytes);
  // Clients ping every 10 s, with or without a call (common/rpc.cc): that is no abuse.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentCalls);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // an address has one owner
}

}  // namespace

absl::StatusOr<std::unique_ptr<Scheduler>> Scheduler::Start(const SchedulerOptions& options,
                                                            const Clock& clock) {
  const std::string& directory = options.data_directory;
  ASSIGN_OR_RETURN(auto security, LoadSecurity(directory, clock.UnixMicros()));
  if (options.insecure) security.reset();
  for (const std::string& listen : options.listen) {
    if (!security && !options.insecure) RETURN_IF_ERROR(CheckPrivate(listen));
  }
  RETURN_IF_ERROR(MakeDirectories(directory));
  absl::StatusOr<FileLock> lock = FileLock::Acquire(JoinPath(directory, kDaemonLockFile));
  if (absl::IsUnavailable(lock.status())) {
    return Annotate(lock.status(), absl::StrCat("another scheduler works in ", directory));
  }
  RETURN_IF_ERROR(lock.status());
  std::unique_ptr<Scheduler> scheduler(new Scheduler(*std::move(lock)));
  scheduler->address_file_ = JoinPath(directory, kAddressFile);
  ASSIGN_OR_RETURN(scheduler->database_,
                   storage::Database::Open(JoinPath(directory, kDatabaseFile)));
  ASSIGN_OR_RETURN(scheduler->artifacts_,
                   ArtifactStore::Create(JoinPath(directory, kArtifactsDirectory)));
  ASSIGN_OR_RETURN(core::State state, Recover(*scheduler->database_, *scheduler->artifacts_, clock,
                                              options.policy, options.forget_lost_artifacts));
  ASSIGN_OR_RETURN(std::vector<storage::TokenRow> tokens,
                   storage::ListTokens(*scheduler->database_));
  scheduler->door_ = std::make_unique<Door>(std::move(tokens));
  // From here on the database is the loop's thread's.
  scheduler->loop_ = std::make_unique<Loop>(*scheduler->database_, *scheduler->artifacts_, clock,
                                            std::move(state), options.heartbeat_ms);
  scheduler->disk_ = std::make_unique<DiskWatch>(
      *scheduler->loop_, options.disk_reserve_bytes, options.disk_interval,
      options.free_disk_bytes ? options.free_disk_bytes
                              : [directory] { return FreeDiskBytes(directory); });
  RETURN_IF_ERROR(scheduler->Serve(options, security, clock));
  if (!options.metrics_address.empty()) {
    ASSIGN_OR_RETURN(
        scheduler->metrics_,
        MetricsServer::Start(options.metrics_address, [loop = scheduler->loop_.get(), directory] {
          return SchedulerMetrics(*loop, directory);
        }));
  }
  return scheduler;
}

absl::Status Scheduler::Serve(const SchedulerOptions& options,
                              const std::optional<Security>& security, const Clock& clock) {
  for (const std::string& listen : options.listen) RETURN_IF_ERROR(CheckSocket(listen));
  sweep_service_ = std::make_unique<SweepService>(*loop_, *disk_, *door_);
  worker_service_ = std::make_unique<WorkerService>(*loop_, *artifacts_, *disk_, *door_);
  admin_service_ = std::make_unique<AdminService>(
      *loop_, *door_, clock,
      AdminOptions{options.data_directory, security, options.disk_reserve_bytes});

  // Else whoever knocks without TLS fills the log.
  SilenceGrpc();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  Configure(builder);
  std::vector<int> ports(options.listen.size());
  for (size_t i = 0; i < ports.size(); ++i) {
    builder.AddListeningPort(options.listen[i],
                             PortCredentials(options.listen[i], security, *door_), &ports[i]);
  }
  builder.RegisterService(sweep_service_.get());
  builder.RegisterService(worker_service_.get());
  builder.RegisterService(admin_service_.get());
  server_ = builder.BuildAndStart();
  for (size_t i = 0; i < ports.size(); ++i) {
    const std::string& listen = options.listen[i];
    if (server_ == nullptr || ports[i] == 0) return AddressTaken(listen);
    addresses_.push_back(IsSocketAddress(listen)
                             ? listen
                             : absl::StrCat(listen.substr(0, listen.rfind(':')), ":", ports[i]));
  }
  return WriteFileAtomic(address_file_, absl::StrCat(absl::StrJoin(addresses_, "\n"), "\n"));
}

Scheduler::~Scheduler() {
  metrics_.reset();
  if (server_ != nullptr) {
    ::unlink(address_file_.c_str());
    admin_service_->Stop();
    (void)loop_->Do([](Turn& turn) {
      turn.CloseStreams(absl::UnavailableError("the scheduler is stopping"));
      return absl::OkStatus();
    });
    server_->Shutdown(gpr_time_from_seconds(kShutdownGraceSeconds, GPR_TIMESPAN));
    server_->Wait();
  }
  disk_.reset();
  loop_.reset();
}

}  // namespace qsweep
