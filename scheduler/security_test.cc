// A real scheduler behind TLS, and who gets how far.
#include <atomic>
#include <thread>
#include <vector>

#include "common/hash.h"
#include "qsweep/v1/sweep.grpc.pb.h"
#include "scheduler/security_fixture.h"
#include "scheduler/testing/cell.h"
#include "scheduler/testing/scripted_worker.h"

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

// A sweep "s" of one run "c".
grpc::Status Submit(v1::SweepService::Stub& sweeps) {
  grpc::ClientContext context;
  v1::SubmitSweepRequest request;
  request.set_request_id("r");
  request.set_name("s");
  *request.add_cells() = CellWithoutWeights();
  v1::SubmitSweepReply reply;
  return sweeps.SubmitSweep(&context, request, &reply);
}

// `token`: for a channel that brings none of its own.
grpc::Status List(const std::shared_ptr<grpc::Channel>& channel, const std::string& token = "") {
  grpc::ClientContext context;
  if (!token.empty()) context.AddMetadata(kTokenHeader, absl::StrCat(kTokenPrefix, token));
  context.set_deadline(gpr_time_from_seconds(120, GPR_TIMESPAN));
  v1::ListSweepsReply reply;
  return v1::SweepService::NewStub(channel)->ListSweeps(&context, v1::ListSweepsRequest(), &reply);
}

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
  // An invitation in the wrong place says where it belongs.
  EXPECT_THAT(ScriptedWorker(channel, "w").AwaitEnd().error_message(),
              HasSubstr("`qctl workers invite NAME` prints"));
  EXPECT_THAT(List(MakeSecureChannel(Invite("box", v1::ROLE_WORKER))).error_message(),
              HasSubstr("its invitation is for qworker --join"));
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
  const auto channel = MakeSecureChannel(invitation);
  ScriptedWorker first(channel, "worker-1");
  first.Await(v1::ToWorker::kWelcome);
  EXPECT_EQ(ScriptedWorker(MakeSecureChannel(invitation), "worker-2").AwaitEnd().error_code(),
            StatusCode::PERMISSION_DENIED);
  // Nor can another machine pass for this one.
  const v1::Credentials other = Invite("thief", v1::ROLE_WORKER);
  const grpc::Status stolen = ScriptedWorker(MakeSecureChannel(other), "worker-1").AwaitEnd();
  EXPECT_EQ(stolen.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(stolen.error_message(), HasSubstr(absl::StrCat("qctl tokens revoke ", id)));
  ScriptedWorker(channel, "worker-1").Await(v1::ToWorker::kWelcome);  // back again
}

TEST_F(SecurityTest, RevocationEndsAWorkersSession) {
  InitAndStart();
  int64_t id = 0;
  ScriptedWorker worker(MakeSecureChannel(Invite("box", v1::ROLE_WORKER, &id)), "worker-1");
  worker.Await(v1::ToWorker::kWelcome);
  ASSERT_TRUE(Revoke(id).ok());
  worker.SendBeat();
  EXPECT_EQ(worker.AwaitEnd().error_code(), StatusCode::UNAUTHENTICATED);
}

TEST_F(SecurityTest, WhoCallsIsTheCallsTokenNotTheConnections) {
  InitAndStart();
  const v1::Credentials ann = Invite("ann", v1::ROLE_READ);
  int64_t id = 0;
  const v1::Credentials box = Invite("box", v1::ROLE_WORKER, &id);
  const auto channel = SharedChannel(ann);
  EXPECT_TRUE(List(channel, ann.token()).ok());
  ScriptedWorker worker(channel, "worker-1", {}, "", box.token());
  worker.Await(v1::ToWorker::kWelcome);
  grpc::ClientContext context;
  v1::ListTokensReply tokens;
  ASSERT_TRUE(admin_->ListTokens(&context, v1::ListTokensRequest(), &tokens).ok());
  for (const v1::Token& token : tokens.tokens()) {
    EXPECT_EQ(token.worker_id(), token.id() == id ? "worker-1" : "") << token.name();
  }
  ASSERT_TRUE(Revoke(id).ok());
  worker.SendBeat();
  EXPECT_EQ(worker.AwaitEnd().error_code(), StatusCode::UNAUTHENTICATED);
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
  ScriptedWorker owner(MakeSecureChannel(Invite("owner", v1::ROLE_WORKER)), "worker-1");
  owner.Await(v1::ToWorker::kWelcome);
  ASSERT_TRUE(Submit(*v1::SweepService::NewStub(MakeChannel(socket_))).ok());
  const v1::Attempt attempt = owner.Await(v1::ToWorker::kAssign).assign().attempt();
  ScriptedWorker other(MakeSecureChannel(Invite("other", v1::ROLE_WORKER)), "worker-2");
  EXPECT_EQ(other.Upload(attempt, "x", Sha256Hex("x")).error_code(),
            StatusCode::PERMISSION_DENIED);  // not greeted yet,
  other.Await(v1::ToWorker::kWelcome);
  EXPECT_EQ(other.Upload(attempt, "x", Sha256Hex("x")).error_code(),
            StatusCode::PERMISSION_DENIED);  // nor afterwards
  EXPECT_TRUE(owner.Upload(attempt, "x", Sha256Hex("x")).ok());
}

TEST_F(SecurityTest, RevocationEndsAWatch) {
  InitAndStart();
  int64_t id = 0;
  const auto stub =
      v1::SweepService::NewStub(MakeSecureChannel(Invite("ann", v1::ROLE_SUBMIT, &id)));
  ASSERT_TRUE(Submit(*stub).ok());
  grpc::ClientContext context;
  context.set_deadline(gpr_time_from_seconds(120, GPR_TIMESPAN));
  v1::GetSweepRequest request;
  request.set_sweep("s");
  const auto reader = stub->WatchSweep(&context, request);
  v1::SweepUpdate update;
  ASSERT_TRUE(reader->Read(&update));
  ASSERT_TRUE(Revoke(id).ok());
  while (reader->Read(&update)) continue;
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::UNAUTHENTICATED);
}

}  // namespace
}  // namespace qsweep
