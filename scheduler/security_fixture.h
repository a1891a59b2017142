// For tests: a real scheduler behind TLS, and its administrator.
#ifndef QSWEEP_SCHEDULER_SECURITY_FIXTURE_H_
#define QSWEEP_SCHEDULER_SECURITY_FIXTURE_H_

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/credentials.h"
#include "common/file.h"
#include "common/rpc.h"
#include "common/testing/file_tree.h"
#include "qsweep/v1/admin.grpc.pb.h"
#include "scheduler/init.h"
#include "scheduler/scheduler.h"

namespace qsweep {

class SecurityTest : public FileTreeTest {
 protected:
  SecurityTest() {
    options_.data_directory = JoinPath(root_, "data");
    socket_ = absl::StrCat("unix:", JoinPath(root_, "socket"));
    options_.listen = {"127.0.0.1:0", socket_};
    options_.heartbeat_ms = 50;
  }
  ~SecurityTest() override { scheduler_.reset(); }

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
    EXPECT_THAT(reply.credentials().address(), testing::HasSubstr(":7411"));
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

  SchedulerOptions options_;
  std::string socket_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SECURITY_FIXTURE_H_
