// Checkpoints and products: checked on the way in, kept while needed, collected after.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdio.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "scheduler/service_fixture.h"

namespace qsweep {
namespace {

// Of the content's file, from the directory of a ServiceTest.
std::string FileOf(const std::string& content) {
  const std::string sha256 = Sha256Hex(content);
  return absl::StrCat("data/artifacts/", sha256.substr(0, 2), "/", sha256.substr(2));
}

TEST_F(ServiceTest, ACheckpointIsWhereTheNextAttemptGoesOn) {
  Submit(Request("study", 1));
  {
    ScriptedWorker worker(channel_, "w");
    const v1::Attempt attempt = NextAssign(worker);
    for (const std::string content : {"ten", "twenty", "thirty"}) {
      ASSERT_TRUE(worker.Upload(attempt, content, Sha256Hex(content)).ok());
    }
    worker.SendEvents(
        attempt, 0, 100,
        {Loss(10, 1), CheckpointAt(10, "ten"), Loss(20, 2), CheckpointAt(20, "twenty"), Loss(30, 3),
         CheckpointAt(30, "thirty"), Loss(40, 4), CheckpointAt(40, "never uploaded")});
  }
  ScriptedWorker worker(channel_, "w");
  const v1::Assign assign = worker.Await(v1::ToWorker::kAssign).assign();
  EXPECT_EQ(assign.resume_step(), 30);
  EXPECT_EQ(assign.resume_from().sha256(), Sha256Hex("thirty"));
  EXPECT_EQ(Metrics("1").size(), 3u);  // step 40 is superseded
  std::string content;
  EXPECT_EQ(worker.Download(Sha256Hex("ten"), &content).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(worker.Download(Sha256Hex("twenty"), &content).ok());
  Finish(worker, assign.attempt());
  EXPECT_EQ(worker.Download(Sha256Hex("thirty"), &content).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServiceTest, UploadsAreChecked) {
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  const std::string content(3'000'000, 'x');
  EXPECT_EQ(worker.Upload(attempt, content, Sha256Hex("other")).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(worker.Upload(attempt, content, "../../../etc/passwd").error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  bool stored = false;
  EXPECT_TRUE(worker.Upload(attempt, content, Sha256Hex(content), &stored).ok());
  EXPECT_TRUE(stored);
  EXPECT_TRUE(worker.Upload(attempt, content, Sha256Hex(content), &stored).ok());
  EXPECT_FALSE(stored);
  std::string back;
  EXPECT_TRUE(worker.Download(Sha256Hex(content), &back).ok());
  EXPECT_EQ(back, content);
  const auto left = ListDirectory(JoinPath(root_, "data/artifacts/incoming"));
  EXPECT_TRUE(left.value().empty());
}

TEST_F(ServiceTest, FilesThatNobodyNeedsArePutAsideAndGoAMonthLater) {
  scheduler_.reset();
  const std::string orphan(64, 'a');
  const std::string path = JoinPath(root_, "data/artifacts/aa/" + orphan.substr(2));
  const std::string aside = JoinPath(root_, "data/artifacts/orphans/" + orphan);
  ASSERT_TRUE(MakeDirectories(JoinPath(root_, "data/artifacts/aa")).ok());
  ASSERT_TRUE(WriteFileAtomic(path, "x").ok());
  Open();
  EXPECT_FALSE(PathExists(path));
  EXPECT_TRUE(PathExists(aside));
  for (const int days : {29, 31}) {
    timespec then{};
    then.tv_sec = SystemClock().UnixMicros() / 1'000'000 - days * 86'400;
    const timespec times[] = {then, then};
    ASSERT_EQ(::utimensat(AT_FDCWD, aside.c_str(), times, 0), 0);
    Reopen();
    EXPECT_EQ(PathExists(aside), days < 30);
  }
}

TEST_F(ServiceTest, AStartWithAnotherDatabaseCostsNoFile) {
  StopAfterACheckpoint();
  const std::string database = JoinPath(root_, "data/qsweep.db");
  ASSERT_EQ(::rename(database.c_str(), (database + ".away").c_str()), 0);
  Open();
  scheduler_.reset();
  ASSERT_EQ(::rename((database + ".away").c_str(), database.c_str()), 0);
  Open();
  ScriptedWorker worker(channel_, "w");
  EXPECT_EQ(worker.Await(v1::ToWorker::kAssign).assign().resume_step(), 10);
  std::string content;
  EXPECT_TRUE(worker.Download(Sha256Hex("ten"), &content).ok());
}

TEST_F(ServiceTest, AMissingArtifactDirectoryIsNotForgottenButWhenToldTo) {
  StopAfterACheckpoint();
  const std::string artifacts = JoinPath(root_, "data/artifacts");
  ASSERT_EQ(::rename(artifacts.c_str(), (artifacts + ".away").c_str()), 0);
  const absl::Status refused = Scheduler::Start(options_, clock_).status();
  EXPECT_THAT(std::string(refused.message()),
              testing::AllOf(testing::HasSubstr(artifacts + ": 1 of the 1 files"),
                             testing::HasSubstr("mount or restore"),
                             testing::HasSubstr("--forget-lost-artifacts")));
  ASSERT_TRUE(RemoveTree(artifacts).ok());
  ASSERT_EQ(::rename((artifacts + ".away").c_str(), artifacts.c_str()), 0);
  Open();
  {
    ScriptedWorker worker(channel_, "w");
    EXPECT_EQ(worker.Await(v1::ToWorker::kAssign).assign().resume_step(), 10);
  }
  scheduler_.reset();
  ASSERT_TRUE(RemoveTree(artifacts).ok());
  SchedulerOptions without = options_;
  without.forget_lost_artifacts = true;
  Open(without);
  ScriptedWorker worker(channel_, "w");
  EXPECT_EQ(worker.Await(v1::ToWorker::kAssign).assign().resume_step(), 0);
}

TEST_F(ServiceTest, AStoreThatIsAwayIsNotTheSendersFault) {
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  const std::string artifacts = JoinPath(root_, "data/artifacts");
  ASSERT_EQ(::rename(artifacts.c_str(), (artifacts + ".away").c_str()), 0);
  std::string content;
  EXPECT_EQ(worker.Upload(attempt, "x", Sha256Hex("x")).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(worker.Download(Sha256Hex("x"), &content).error_code(), grpc::StatusCode::UNAVAILABLE);
  ASSERT_EQ(::rename((artifacts + ".away").c_str(), artifacts.c_str()), 0);
  EXPECT_TRUE(worker.Upload(attempt, "x", Sha256Hex("x")).ok());
  EXPECT_TRUE(worker.Download(Sha256Hex("x"), &content).ok());
}

// Found when it is fetched: the attempt that was to go on from it ends, and the next one does.
TEST_F(ServiceTest, ADamagedCheckpointFileCostsOnlyTheStepsSinceTheOneBefore) {
  Submit(Request("study", 1));
  std::optional<ScriptedWorker> worker(std::in_place, channel_, "w");
  v1::Attempt attempt = NextAssign(*worker);
  StoreCheckpoints(*worker, attempt);
  const auto file = [this](const std::string& content) { return JoinPath(root_, FileOf(content)); };
  const auto go_on = [&] {  // a worker that has lost its attempt
    worker.emplace(channel_, "w");
    const v1::Assign next = worker->Await(v1::ToWorker::kAssign).assign();
    attempt = next.attempt();
    return next.resume_step();
  };
  const auto fetch = [&](const std::string& content) {
    std::string got;
    return worker->Download(Sha256Hex(content), &got).error_code();
  };
  EXPECT_EQ(go_on(), 20);
  ASSERT_TRUE(WriteFileAtomic(file("twenty"), "twenty and more").ok());
  EXPECT_EQ(fetch("twenty"), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(go_on(), 10);
  ASSERT_EQ(::unlink(file("ten").c_str()), 0);
  EXPECT_EQ(fetch("ten"), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(go_on(), 0);
  // The same content may come again.
  ASSERT_TRUE(worker->Upload(attempt, "twenty", Sha256Hex("twenty")).ok());
  EXPECT_EQ(fetch("twenty"), grpc::StatusCode::OK);
}

// A disk that fails now may be well tomorrow; what is not the disk's costs nothing.
TEST_F(ServiceTest, ACheckpointThatCannotBeReadNowIsLeftOutAndNotForgotten) {
  Submit(Request("study", 1));
  std::optional<ScriptedWorker> worker(std::in_place, channel_, "w");
  StoreCheckpoints(*worker, NextAssign(*worker));
  const auto go_on = [&] {  // a worker that has lost its attempt
    worker.emplace(channel_, "w");
    return worker->Await(v1::ToWorker::kAssign).assign().resume_step();
  };
  const std::string file = JoinPath(root_, FileOf("twenty"));
  ASSERT_EQ(::unlink(file.c_str()), 0);
  ASSERT_EQ(::mkdir(file.c_str(), 0700), 0);  // can be opened and not read: EISDIR
  std::string got;
  EXPECT_EQ(worker->Download(Sha256Hex("twenty"), &got).error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(go_on(), 20);
  ASSERT_EQ(::rmdir(file.c_str()), 0);
  ASSERT_EQ(::symlink("/proc/self/mem", file.c_str()), 0);  // read at 0, that is EIO
  EXPECT_EQ(worker->Download(Sha256Hex("twenty"), &got).error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(go_on(), 10);
  ASSERT_EQ(::unlink(file.c_str()), 0);
  ASSERT_TRUE(WriteFileAtomic(file, "twenty").ok());
  Reopen();
  EXPECT_EQ(go_on(), 20);
}

TEST_F(ServiceTest, ADamagedProductIsComputedAnewByARetry) {
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  Finish(worker, NextAssign(worker));
  ASSERT_TRUE(WriteFileAtomic(JoinPath(root_, FileOf("weights")), "weighty").ok());
  std::string got;
  EXPECT_EQ(worker.Download(Sha256Hex("weights"), &got).error_code(), grpc::StatusCode::DATA_LOSS);
  const v1::RunDetail run = GetRun("1");
  EXPECT_EQ(run.run().state(), v1::RUN_STATE_SUCCEEDED);
  EXPECT_EQ(run.result().steps(), 30);  // its numbers are as good as ever
  EXPECT_THAT(run.run().remark(), testing::HasSubstr("model.safetensors is damaged or gone"));
  v1::Target retry;
  retry.set_run("1");
  EXPECT_EQ(Call(&v1::SweepService::Stub::Retry, retry).runs(), 1);
  const v1::Assign again = worker.Await(v1::ToWorker::kAssign).assign();
  EXPECT_EQ(again.resume_step(), 0);
  Finish(worker, again.attempt());
  EXPECT_EQ(GetRun("1").run().remark(), "");
  got.clear();
  EXPECT_TRUE(worker.Download(Sha256Hex("weights"), &got).ok());
  EXPECT_EQ(got, "weights");
  EXPECT_EQ(Call(&v1::SweepService::Stub::Retry, retry).runs(), 0);
}

TEST_F(ServiceTest, AProductThatIsPutBackIsGoodAgain) {
  Submit(Request("study", 1));
  {
    ScriptedWorker worker(channel_, "w");
    Finish(worker, NextAssign(worker));
  }
  scheduler_.reset();
  const std::string file = JoinPath(root_, FileOf("weights"));
  ASSERT_EQ(::unlink(file.c_str()), 0);
  SchedulerOptions without = options_;
  without.forget_lost_artifacts = true;
  Open(without);
  Reopen();  // told once is enough
  EXPECT_THAT(GetRun("1").run().remark(), testing::HasSubstr("put it back"));
  v1::SubmitSweepRequest request = Request("again", 1);
  EXPECT_EQ(Submit(request).reused(), 0);
  scheduler_.reset();
  ASSERT_TRUE(WriteFileAtomic(file, "weights").ok());
  Open();
  EXPECT_EQ(GetRun("1").run().remark(), "");
  EXPECT_EQ(GetRun("again/cell-0").run().reused_run_id(), 1);
}

TEST_F(ServiceTest, ALostCheckpointFileCostsOnlyTheStepsSinceTheOneBefore) {
  Submit(Request("study", 1));
  {
    ScriptedWorker worker(channel_, "w");
    StoreCheckpoints(worker, NextAssign(worker));
  }
  scheduler_.reset();
  const std::string lost = Sha256Hex("twenty");
  ASSERT_TRUE(RemoveTree(JoinPath(root_, absl::StrCat("data/artifacts/", lost.substr(0, 2)))).ok());
  Open();
  ScriptedWorker worker(channel_, "w");
  EXPECT_EQ(worker.Await(v1::ToWorker::kAssign).assign().resume_step(), 10);
}

}  // namespace
}  // namespace qsweep
