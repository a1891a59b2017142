// A real scheduler behind TLS, and who gets how far.
#include "scheduler/security.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/credentials.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/rpc.h"
#include "common/version.h"
#include "qsweep/v1/admin.grpc.pb.h"
#include "qsweep/v1/sweep.grpc.pb.h"
#include "qsweep/v1/worker.grpc.pb.h"
#include "scheduler/init.h"
#include "scheduler/scheduler.h"
#include "scheduler/testing/cell.h"

namespace qsweep {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

TEST(Roles, EveryMethodHasOne) {
  for (const char* name :
       {"qsweep.v1.SweepService", "qsweep.v1.WorkerService", "qsweep.v1.AdminService"}) {
    const auto* service =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    ASSERT_NE(service, nullptr) << name;
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string path = absl::StrCat("/", name, "/", service->method(i)->name());
      EXPECT_NE(LeastRole(path), v1::ROLE_UNSPECIFIED)
          << path << " needs a line in scheduler/service/door.cc";
    }
  }
}

TEST(Roles, AreAsNarrowAsTheyCanBe) {
  const auto may = [](v1::Role role, const char* method) {
    return MayCall(role, absl::StrCat("/qsweep.v1.", method));
  };
  EXPECT_TRUE(may(v1::ROLE_READ, "SweepService/GetRun"));
  EXPECT_FALSE(may(v1::ROLE_READ, "SweepService/Cancel"));
  EXPECT_TRUE(may(v1::ROLE_SUBMIT, "SweepService/Cancel"));
  EXPECT_FALSE(may(v1::ROLE_SUBMIT, "AdminService/CreateToken"));
  EXPECT_TRUE(may(v1::ROLE_ADMIN, "AdminService/CreateToken"));
  EXPECT_FALSE(may(v1::ROLE_ADMIN, "WorkerService/Session"));
  EXPECT_TRUE(may(v1::ROLE_WORKER, "WorkerService/Session"));
  EXPECT_TRUE(may(v1::ROLE_WORKER, "WorkerService/DownloadArtifact"));
  EXPECT_FALSE(may(v1::ROLE_WORKER, "SweepService/GetRun"));
  EXPECT_FALSE(may(v1::ROLE_SUBMIT, "SweepService/Unheard"));
  EXPECT_TRUE(may(v1::ROLE_ADMIN, "SweepService/Unheard"));
  EXPECT_FALSE(may(v1::ROLE_UNSPECIFIED, "SweepService/GetRun"));
}

// A connection that calls with several tokens share.
std::shared_ptr<grpc::Channel> SharedChannel(const v1::Credentials& credentials) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = credentials.ca_certificate();
  return grpc::CreateChannel(credentials.address(), grpc::SslCredentials(options));
}
void AddToken(const std::string& token, grpc::ClientContext* context) {
  if (!token.empty()) context->AddMetadata(kTokenHeader, absl::StrCat(kTokenPrefix, token));
}

class SecurityTest : public testing::Test {
 protected:
  SecurityTest() {
    directory_ = testing::TempDir() + "qs-XXXXXX";
    EXPECT_NE(::mkdtemp(directory_.data()), nullptr);
    options_.data_directory = JoinPath(directory_, "data");
    socket_ = absl::StrCat("unix:", JoinPath(directory_, "socket"));
    options_.listen = {"127.0.0.1:0", socket_};
    options_.heartbeat_ms = 50;
  }
  ~SecurityTest() override {
    scheduler_.reset();
    EXPECT_TRUE(RemoveTree(directory_).ok());
  }

  // As `qscheduler init` and a start do; the administrator's credentials.
  v1::Credentials InitAndStart() {
    const auto line = InitDataDirectory({options_.data_directory, {}, 7411}, SystemClock());
    EXPECT_TRUE(line.ok()) << line.status();
    auto started = Scheduler::Start(options_, SystemClock());
    EXPECT_TRUE(started.ok()) << started.status();
    scheduler_ = *std::move(started);
    v1::Credentials admin = ParseInvitation(*line).value();
    admin.set_address(scheduler_->address());
    admin_ = v1::AdminService::NewStub(MakeSecureChannel(admin));
    return admin;
  }
  v1::Credentials Invite(const std::string& name, v1::Role role, int64_t* id = nullptr) {
    grpc::ClientContext context;
    v1::CreateTokenRequest request;
    request.set_name(name);
    request.set_role(role);
    v1::CreateTokenReply reply;
    const grpc::Status status = admin_->CreateToken(&context, request, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_THAT(reply.credentials().address(), HasSubstr(":7411"));
    reply.mutable_credentials()->set_address(scheduler_->address());
    if (id != nullptr) *id = reply.token().id();
    return reply.credentials();
  }
  grpc::Status Revoke(int64_t id) {
    grpc::ClientContext context;
    v1::RevokeTokenRequest request;
    request.set_id(id);
    v1::RevokeTokenReply reply;
    return admin_->RevokeToken(&context, request, &reply);
  }
  // A sweep "s" of one run "c".
  static grpc::Status Submit(v1::SweepService::Stub& sweeps) {
    grpc::ClientContext context;
    v1::SubmitSweepRequest request;
    request.set_request_id("r");
    request.set_name("s");
    *request.add_cells() = CellWithoutWeights();
    v1::SubmitSweepReply reply;
    return sweeps.SubmitSweep(&context, request, &reply);
  }
  // `token`: for a channel that brings none of its own.
  static grpc::Status List(const std::shared_ptr<grpc::Channel>& channel,
                           const std::string& token = "") {
    grpc::ClientContext context;
    AddToken(token, &context);
    context.set_deadline(gpr_time_from_seconds(5, GPR_TIMESPAN));
    v1::ListSweepsReply reply;
    return v1::SweepService::NewStub(channel)->ListSweeps(&context, v1::ListSweepsRequest(),
                                                          &reply);
  }

  SchedulerOptions options_;
  std::string directory_, socket_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

// One stream of a worker with these credentials.
class Worker {
 public:
  Worker(const v1::Credentials& credentials, const std::string& id)
      : Worker(MakeSecureChannel(credentials), "", id) {}
  // `token`: for a channel that brings none of its own.
  Worker(const std::shared_ptr<grpc::Channel>& channel, const std::string& token,
         const std::string& id)
      : stub_(v1::WorkerService::NewStub(channel)) {
    context_.set_deadline(gpr_time_from_seconds(20, GPR_TIMESPAN));
    AddToken(token, &context_);
    stream_ = stub_->Session(&context_);
    v1::FromWorker message;
    v1::WorkerInfo* info = message.mutable_hello()->mutable_info();
    info->set_id(id);
    info->set_name(id);
    info->set_protocol(kProtocol);
    info->set_slots(1);
    info->add_datasets("fashion_mnist");
    stream_->Write(message);
  }
  ~Worker() { context_.TryCancel(); }
  bool Welcomed() {
    v1::ToWorker message;
    return stream_->Read(&message) && message.has_welcome();
  }
  v1::Attempt AwaitAttempt() {
    v1::ToWorker message;
    while (stream_->Read(&message)) {
      if (message.has_assign()) return message.assign().attempt();
    }
    return {};
  }
  void Beat() {
    v1::FromWorker message;
    message.mutable_heartbeat();
    stream_->Write(message);
  }
  grpc::Status End() {
    v1::ToWorker message;
    while (stream_->Read(&message)) {
    }
    return stream_->Finish();
  }
  grpc::Status Upload(const v1::Attempt& attempt) {
    grpc::ClientContext context;
    v1::UploadReply reply;
    const auto writer = stub_->UploadArtifact(&context, &reply);
    v1::ArtifactChunk chunk;
    chunk.mutable_header()->set_sha256(Sha256Hex("x"));
    chunk.mutable_header()->set_bytes(1);
    *chunk.mutable_header()->mutable_attempt() = attempt;
    writer->Write(chunk);
    chunk.set_data("x");
    writer->Write(chunk);
    writer->WritesDone();
    return writer->Finish();
  }

 private:
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::FromWorker, v1::ToWorker>> stream_;
};

TEST_F(SecurityTest, RefusesAnOpenAddressWithoutCertificate) {
  options_.listen = {"0.0.0.0:0"};
  const absl::Status status = Scheduler::Start(options_, SystemClock()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("qscheduler init"));
  EXPECT_FALSE(PathExists(options_.data_directory));
  options_.insecure = true;
  EXPECT_TRUE(Scheduler::Start(options_, SystemClock()).ok());
}

TEST_F(SecurityTest, WithoutAGoodTokenNobodyGetsIn) {
  v1::Credentials admin = InitAndStart();
  EXPECT_TRUE(List(MakeSecureChannel(admin)).ok());
  EXPECT_TRUE(List(MakeChannel(socket_)).ok());  // whoever may open the file
  const std::string good = admin.token();
  for (const std::string& bad :
       {std::string(), std::string("qs.1."), good.substr(0, good.size() - 1), good + "x",
        std::string(100'000, 'x')}) {
    admin.set_token(bad);
    const StatusCode code = List(MakeSecureChannel(admin)).error_code();
    // gRPC itself refuses headers of such a size.
    EXPECT_EQ(code,
              bad.size() > 10'000 ? StatusCode::RESOURCE_EXHAUSTED : StatusCode::UNAUTHENTICATED)
        << bad.substr(0, 100);
  }
  EXPECT_EQ(List(MakeChannel(scheduler_->address())).error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(SecurityTest, AnotherAuthoritysSchedulerIsNotTrusted) {
  v1::Credentials admin = InitAndStart();
  admin.set_ca_certificate(MakeAuthority()->certificate);
  EXPECT_EQ(List(MakeSecureChannel(admin)).error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(SecurityTest, ATokenAllowsWhatItsRoleDoes) {
  InitAndStart();
  const auto channel = MakeSecureChannel(Invite("ann", v1::ROLE_READ));
  EXPECT_TRUE(List(channel).ok());
  grpc::ClientContext context;
  v1::Target target;
  target.set_sweep("1");
  v1::TargetReply reply;
  const grpc::Status status = v1::SweepService::NewStub(channel)->Cancel(&context, target, &reply);
  EXPECT_EQ(status.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr("a token for read does not allow Cancel"));
}

TEST_F(SecurityTest, ARevokedTokenIsRefusedAtOnceAndForEver) {
  InitAndStart();
  int64_t id = 0;
  const v1::Credentials ann = Invite("ann", v1::ROLE_READ, &id);
  const auto channel = MakeSecureChannel(ann);
  EXPECT_TRUE(List(channel).ok());
  ASSERT_TRUE(Revoke(id).ok());
  EXPECT_EQ(List(channel).error_code(), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Revoke(id).error_code(), StatusCode::NOT_FOUND);
  scheduler_.reset();
  scheduler_ = *Scheduler::Start(options_, SystemClock());
  v1::Credentials again = ann;
  again.set_address(scheduler_->address());
  EXPECT_EQ(List(MakeSecureChannel(again)).error_code(), StatusCode::UNAUTHENTICATED);
}

TEST_F(SecurityTest, NoSecretIsStored) {
  v1::Credentials admin = InitAndStart();
  const std::string secret = admin.token().substr(admin.token().rfind('.') + 1);
  scheduler_.reset();
  const std::string database =
      ReadFile(JoinPath(options_.data_directory, "qsweep.db"), 1 << 24).value();
  EXPECT_EQ(database.find(secret), std::string::npos);
  EXPECT_NE(database.find(Sha256Hex(secret)), std::string::npos);
}

TEST_F(SecurityTest, AWorkersTokenIsOneMachines) {
  InitAndStart();
  int64_t id = 0;
  const v1::Credentials invitation = Invite("box", v1::ROLE_WORKER, &id);
  Worker first(invitation, "worker-1");
  ASSERT_TRUE(first.Welcomed());
  EXPECT_EQ(Worker(invitation, "worker-2").End().error_code(), StatusCode::PERMISSION_DENIED);
  // Nor can another machine pass for this one.
  const v1::Credentials other = Invite("thief", v1::ROLE_WORKER);
  const grpc::Status stolen = Worker(other, "worker-1").End();
  EXPECT_EQ(stolen.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(stolen.error_message(), HasSubstr(absl::StrCat("qctl tokens revoke ", id)));
  ASSERT_TRUE(Worker(invitation, "worker-1").Welcomed());  // back again
}

TEST_F(SecurityTest, RevocationEndsAWorkersSession) {
  InitAndStart();
  int64_t id = 0;
  Worker worker(Invite("box", v1::ROLE_WORKER, &id), "worker-1");
  ASSERT_TRUE(worker.Welcomed());
  ASSERT_TRUE(Revoke(id).ok());
  worker.Beat();
  EXPECT_EQ(worker.End().error_code(), StatusCode::UNAUTHENTICATED);
}

TEST_F(SecurityTest, WhoCallsIsTheCallsTokenNotTheConnections) {
  InitAndStart();
  const v1::Credentials ann = Invite("ann", v1::ROLE_READ);
  int64_t id = 0;
  const v1::Credentials box = Invite("box", v1::ROLE_WORKER, &id);
  const auto channel = SharedChannel(ann);
  EXPECT_TRUE(List(channel, ann.token()).ok());
  Worker worker(channel, box.token(), "worker-1");
  ASSERT_TRUE(worker.Welcomed());
  grpc::ClientContext context;
  v1::ListTokensReply tokens;
  ASSERT_TRUE(admin_->ListTokens(&context, v1::ListTokensRequest(), &tokens).ok());
  for (const v1::Token& token : tokens.tokens()) {
    EXPECT_EQ(token.worker_id(), token.id() == id ? "worker-1" : "") << token.name();
  }
  ASSERT_TRUE(Revoke(id).ok());
  worker.Beat();
  EXPECT_EQ(worker.End().error_code(), StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(List(channel, ann.token()).ok());
}

// What gRPC keeps of a connection has no lock: whoever writes there crashes this.
TEST_F(SecurityTest, ManyCallsOfOneConnectionAtOnce) {
  constexpr int kThreads = 8, kCalls = 200;
  InitAndStart();
  const v1::Credentials ann = Invite("ann", v1::ROLE_READ);
  const auto channel = SharedChannel(ann);
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int call = 0; call < kCalls; ++call) good += List(channel, ann.token()).ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, kThreads * kCalls);
}

TEST_F(SecurityTest, AWorkerSpeaksForItsOwnAttemptsOnly) {
  InitAndStart();
  Worker owner(Invite("owner", v1::ROLE_WORKER), "worker-1");
  ASSERT_TRUE(owner.Welcomed());
  ASSERT_TRUE(Submit(*v1::SweepService::NewStub(MakeChannel(socket_))).ok());
  const v1::Attempt attempt = owner.AwaitAttempt();
  ASSERT_GT(attempt.run_id(), 0);
  Worker other(Invite("other", v1::ROLE_WORKER), "worker-2");
  EXPECT_EQ(other.Upload(attempt).error_code(), StatusCode::PERMISSION_DENIED);  // not greeted yet,
  ASSERT_TRUE(other.Welcomed());
  EXPECT_EQ(other.Upload(attempt).error_code(), StatusCode::PERMISSION_DENIED);  // nor afterwards
  EXPECT_TRUE(owner.Upload(attempt).ok());
}

TEST_F(SecurityTest, ABackupIsWholeAndNothingOfItStays) {
  InitAndStart();
  grpc::ClientContext context;
  const auto reader = admin_->BackupDatabase(&context, v1::BackupDatabaseRequest());
  v1::ArtifactChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  const v1::ArtifactHeader header = chunk.header();
  std::string bytes;
  while (reader->Read(&chunk)) bytes += chunk.data();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(static_cast<int64_t>(bytes.size()), header.bytes());
  EXPECT_EQ(Sha256Hex(bytes), header.sha256());
  const std::string path = JoinPath(directory_, "backup.db");
  ASSERT_TRUE(WriteFileAtomic(path, bytes).ok());
  EXPECT_EQ(CheckDatabaseAt(path), absl::OkStatus());
  EXPECT_THAT(ListDirectory(options_.data_directory).value(),
              testing::Not(testing::Contains(HasSubstr("copy"))));
}

TEST_F(SecurityTest, HealthSaysHowItIs) {
  InitAndStart();
  grpc::ClientContext context;
  v1::Health health;
  ASSERT_TRUE(admin_->GetHealth(&context, v1::GetHealthRequest(), &health).ok());
  EXPECT_EQ(health.version(), kVersion);
  EXPECT_GT(health.disk_free_bytes(), 0);
  EXPECT_GT(health.database_bytes(), 4096);
  EXPECT_GT(health.rss_bytes(), 1 << 20);
  EXPECT_GT(health.memory_available_bytes(), 1 << 20);
  EXPECT_GT(health.certificate_ends_unix_s() - health.unix_us() / 1'000'000, 9 * 365 * 86'400);
}

TEST_F(SecurityTest, HealthOfADirectoryThatIsNotUtf8) {
  options_.data_directory = JoinPath(directory_, "d\xFFta");
  InitAndStart();
  grpc::ClientContext context;
  v1::Health health;
  ASSERT_TRUE(admin_->GetHealth(&context, v1::GetHealthRequest(), &health).ok());
  EXPECT_THAT(health.data_directory(), HasSubstr("/d?ta"));
}

TEST_F(SecurityTest, RevocationEndsAWatch) {
  InitAndStart();
  int64_t id = 0;
  const auto stub =
      v1::SweepService::NewStub(MakeSecureChannel(Invite("ann", v1::ROLE_SUBMIT, &id)));
  ASSERT_TRUE(Submit(*stub).ok());
  grpc::ClientContext context;
  context.set_deadline(gpr_time_from_seconds(20, GPR_TIMESPAN));
  v1::GetSweepRequest request;
  request.set_sweep("s");
  const auto reader = stub->WatchSweep(&context, request);
  v1::SweepUpdate update;
  ASSERT_TRUE(reader->Read(&update));
  ASSERT_TRUE(Revoke(id).ok());
  while (reader->Read(&update)) continue;
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::UNAUTHENTICATED);
}

TEST_F(SecurityTest, CopiesThatAKilledSchedulerLeftAreRemoved) {
  ASSERT_TRUE(MakeDirectories(options_.data_directory).ok());
  const auto path = [this](const char* name) { return JoinPath(options_.data_directory, name); };
  for (const char* name : {"copy-7.db", "copy-7.db-journal", "copy-mine.db"}) {
    ASSERT_TRUE(WriteFileAtomic(path(name), "half of it").ok());
  }
  InitAndStart();
  EXPECT_FALSE(PathExists(path("copy-7.db")));
  EXPECT_FALSE(PathExists(path("copy-7.db-journal")));
  EXPECT_TRUE(PathExists(path("copy-mine.db")));
}

TEST(Hosts, AnOwnNameThatNoCertificateCanHoldIsLeftOut) {
  EXPECT_EQ(CertificateHosts({"lab.example.org"}, "my_box").value(),
            (std::vector<std::string>{"lab.example.org", "localhost", "127.0.0.1", "::1"}));
  EXPECT_EQ(CertificateHosts({}, "box").value().front(), "box");
  EXPECT_THAT(std::string(CertificateHosts({}, "my_box").status().message()),
              testing::AllOf(HasSubstr("'my_box'"), HasSubstr("--host")));
}

}  // namespace
}  // namespace qsweep
