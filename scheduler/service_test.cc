// What people ask, and the daemon as a whole.
#include <gmock/gmock.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/rpc.h"
#include "scheduler/service_fixture.h"
#include "storage/transaction.h"

namespace qsweep {
namespace {

using testing::HasSubstr;

// Rules may become stricter with a release; what was computed by then stays readable.
TEST_F(ServiceTest, ARunWhoseSpecIsNotAllowedAnyMoreIsShown) {
  Submit(Request("study", 1));
  {
    ScriptedWorker worker(channel_, "w");
    Finish(worker, NextAssign(worker));
  }
  scheduler_.reset();
  {
    const auto database = storage::Database::Open(JoinPath(root_, "data/qsweep.db"));
    ASSERT_TRUE(database.ok()) << database.status();
    storage::Transaction transaction(**database);
    ASSERT_TRUE(transaction
                    .ExecuteOne("UPDATE specs SET json = replace(json, '\"method\":\"full\"', "
                                "'\"method\":\"full\",\"num_epochs\":-1')")
                    .ok());
    ASSERT_TRUE(transaction.Commit().ok());
  }
  Open();
  const v1::RunDetail run = GetRun("1");
  EXPECT_EQ(run.spec().training().num_epochs(), -1);
  EXPECT_EQ(run.result().steps(), 30);
}

TEST_F(ServiceTest, ListsArePagedAndBadTokensRefused) {
  Submit(Request("study", 25));
  v1::ListRunsRequest request;
  request.set_sweep("study");
  request.set_page_size(10);
  std::vector<std::string> names;
  do {
    const auto reply = Call(&v1::SweepService::Stub::ListRuns, request);
    for (const v1::Run& run : reply.runs()) names.push_back(run.name());
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  ASSERT_EQ(names.size(), 25u);
  EXPECT_EQ(names[24], "cell-24");
  v1::ListRunsReply reply;
  for (const char* token : {"x", "-1", "99999999999999999999"}) {
    request.set_page_token(token);
    EXPECT_EQ(Try(&v1::SweepService::Stub::ListRuns, request, &reply).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT)
        << token;
  }
  request.clear_page_token();
  request.set_page_size(1'000'000);
  EXPECT_EQ(Try(&v1::SweepService::Stub::ListRuns, request, &reply).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.set_page_size(0);
  for (int i = 0; i < 101; ++i) request.add_states(v1::RUN_STATE_PENDING);
  EXPECT_EQ(Try(&v1::SweepService::Stub::ListRuns, request, &reply).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.clear_states();
  request.set_sweep("nobody");
  EXPECT_EQ(Try(&v1::SweepService::Stub::ListRuns, request, &reply).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServiceTest, AWatchSeesChangesAndEndsWithItsSweep) {
  Submit(Request("study", 1));
  grpc::ClientContext context;
  v1::GetSweepRequest request;
  request.set_sweep("study");
  auto reader = sweeps_->WatchSweep(&context, request);
  v1::SweepUpdate update;
  ASSERT_TRUE(reader->Read(&update));
  EXPECT_EQ(update.sweep().pending(), 1);
  EXPECT_EQ(update.changed_size(), 0);
  ScriptedWorker worker(channel_, "w");
  Finish(worker, NextAssign(worker));
  int updates = 1;
  v1::RunState last = v1::RUN_STATE_UNSPECIFIED;
  while (reader->Read(&update)) {
    ++updates;
    for (const v1::Run& run : update.changed()) last = run.state();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(last, v1::RUN_STATE_SUCCEEDED);
  EXPECT_EQ(update.sweep().succeeded(), 1);
  EXPECT_LE(updates, 6);
}

TEST_F(ServiceTest, OneSchedulerADirectoryAndAnAddress) {
  SchedulerOptions options;
  options.data_directory = JoinPath(root_, "data");
  options.listen = {absl::StrCat("unix:", JoinPath(root_, "other"))};
  absl::Status status = Scheduler::Start(options, SystemClock()).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("another scheduler works in"));
  Write("locked/lock/file", "");  // cannot be opened
  options.data_directory = JoinPath(root_, "locked");
  status = Scheduler::Start(options, SystemClock()).status();
  EXPECT_EQ(status.message(), root_ + "/locked/lock: open: Is a directory");
  options.data_directory = JoinPath(root_, "data2");
  options.listen = {absl::StrCat("unix:", JoinPath(root_, "nowhere/socket"))};
  status = Scheduler::Start(options, SystemClock()).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr(root_ + "/nowhere is not there"));
  options.listen = {scheduler_->address()};
  status = Scheduler::Start(options, SystemClock()).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot listen there"));
  EXPECT_EQ(Call(&v1::SweepService::Stub::ListSweeps, v1::ListSweepsRequest()).sweeps_size(), 0);
}

TEST_F(ServiceTest, AFreePortIsFoundAndWrittenDown) {
  SchedulerOptions options;
  options.data_directory = JoinPath(root_, "data2");
  options.listen = {"127.0.0.1:0"};
  auto second = Scheduler::Start(options, SystemClock()).value();
  const std::string address = ReadFile(JoinPath(options.data_directory, "address"), 1000).value();
  EXPECT_EQ(address, second->address() + "\n");
  EXPECT_FALSE(absl::EndsWith(second->address(), ":0"));
  auto stub = v1::SweepService::NewStub(MakeChannel(second->address()));
  grpc::ClientContext context;
  v1::ListWorkersReply reply;
  EXPECT_TRUE(stub->ListWorkers(&context, {}, &reply).ok());
}

}  // namespace
}  // namespace qsweep
