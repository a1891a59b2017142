// A real scheduler on a disk whose free space the test decides.
#include "scheduler/disk_watch.h"

#include <gmock/gmock.h>
#include <httplib.h>

#include "common/hash.h"
#include "scheduler/service_fixture.h"

namespace qsweep {
namespace {

using testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

class DiskWatchTest : public ServiceTest {
 protected:
  DiskWatchTest() {
    options_.policy.hung_after = absl::Minutes(2);
    options_.disk_reserve_bytes = 500 * kMiB;
    options_.disk_interval = absl::Milliseconds(10);
    options_.free_disk_bytes = [this] {
      ++looks_;
      return free_.load();
    };
    options_.metrics_address = "127.0.0.1:0";
  }

  grpc::Status TrySubmit(const std::string& name) {
    v1::SubmitSweepReply reply;
    return Try(&v1::SweepService::Stub::SubmitSweep, Request(name, 1), &reply);
  }
  std::string Waiting() { return GetRun("1").run().waiting(); }
  std::string MetricsPage() {
    httplib::Client client("http://" + scheduler_->metrics_address());
    const auto page = client.Get("/metrics");
    return page ? page->body : "";
  }

  std::atomic<int64_t> free_ = 1000 * kMiB;
  std::atomic<int> looks_ = 0;
};

TEST_F(DiskWatchTest, TakesNoWorkBeforeTheDiskIsFullAndGoesOnUnaided) {
  EXPECT_TRUE(TrySubmit("first").ok());
  EXPECT_THAT(MetricsPage(), HasSubstr("qsweep_holding 0\n"));
  EXPECT_THAT(MetricsPage(), HasSubstr("qsweep_runs{state=\"pending\"} 1\n"));
  free_ = 499 * kMiB;
  Await([&] { return Waiting().find("nearly full: 499 MiB are free") != std::string::npos; });
  EXPECT_THAT(MetricsPage(), HasSubstr("qsweep_holding 1\n"));
  const grpc::Status refused = TrySubmit("second");
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("make room there"));

  // A worker with room for the run is welcome and gets nothing.
  ScriptedWorker worker(channel_, "w");
  worker.Await(v1::ToWorker::kWelcome);
  EXPECT_THAT(Waiting(), HasSubstr("nearly full"));

  free_ = 510 * kMiB;  // room for the reserve, but not for a tenth more: no flutter
  const int looks = looks_;
  Await([&] { return looks_ >= looks + 2; });  // so that one is over
  EXPECT_THAT(Waiting(), HasSubstr("nearly full"));
  free_ = 551 * kMiB;
  EXPECT_EQ(NextAssign(worker).run_id(), 1);
  EXPECT_TRUE(TrySubmit("second").ok());
}

TEST_F(DiskWatchTest, AWorkerThatRefusesIsLeftAloneUntilItDoesNot) {
  ScriptedWorker worker(channel_, "w");
  v1::FromWorker beat;
  beat.mutable_heartbeat()->set_refuses("its disk is nearly full");
  worker.Send(beat);
  worker.Flush();
  EXPECT_TRUE(TrySubmit("first").ok());
  EXPECT_EQ(Waiting(), "w takes no runs: its disk is nearly full");
  worker.SendBeat();
  EXPECT_EQ(NextAssign(worker).run_id(), 1);
}

TEST_F(DiskWatchTest, AnUploadThatWouldFillTheDiskWaitsAndItsRunIsNotHung) {
  EXPECT_TRUE(TrySubmit("first").ok());
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  const auto upload = [&](int64_t bytes) {
    const std::string content(bytes, 'x');
    return worker.Upload(attempt, content, Sha256Hex(content));
  };
  free_ = 252 * kMiB;             // half of the reserve and 2 MiB
  for (int i = 0; i < 12; ++i) {  // three minutes
    Step();
    worker.Beat({attempt});
    const grpc::Status refused = upload(3 * kMiB);
    ASSERT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(refused.error_message(), HasSubstr("an upload of 3 MiB"));
  }
  EXPECT_TRUE(upload(kMiB).ok());
  free_ = 253 * kMiB;
  EXPECT_TRUE(upload(3 * kMiB).ok());  // of an attempt that lives
}

}  // namespace
}  // namespace qsweep
