// A real scheduler on a real file system that fills to the last byte. Needs to mount one.
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstring>

#include "absl/time/clock.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/rpc.h"
#include "common/subprocess.h"
#include "common/testing/temporary_directory.h"
#include "qsweep/v1/sweep.grpc.pb.h"
#include "scheduler/testing/cell.h"

namespace qsweep {
namespace {

class FullDiskTest : public testing::Test {
 protected:
  void SetUp() override {
    disk_ = directory_.Sub("disk");
    if (::mount("none", disk_.c_str(), "tmpfs", 0, "size=24m") != 0) {
      GTEST_SKIP() << "cannot mount a small file system here: " << std::strerror(errno);
    }
    mounted_ = true;
    address_ = absl::StrCat("unix:", directory_.Path("socket"));
    SubprocessOptions options;
    // The watch, which would stop it long before, is as good as off.
    options.argv = {QSWEEP_BIN_DIR "/qscheduler",
                    "--data-dir",
                    JoinPath(disk_, "data"),
                    "--listen",
                    address_,
                    "--disk-reserve",
                    "1",
                    "--log-file",
                    log()};
    options.stderr_path = directory_.Path("err");
    pid_ = *StartSubprocess(options);
  }
  void TearDown() override {
    if (pid_ != 0) {
      ::kill(pid_, SIGTERM);
      EXPECT_EQ(WaitSubprocess(pid_, absl::Minutes(1))->exit_code, 0);
    }
    if (mounted_) {
      EXPECT_EQ(::umount(disk_.c_str()), 0);
    }
    if (HasFailure()) std::puts(Log().c_str());
  }
  std::string log() const { return directory_.Path("log"); }
  std::string Log() const { return ReadFile(log(), 1 << 24).value_or(""); }

  // A sweep whose record takes 200 kB.
  grpc::Status Submit(int number, bool wait = true) {
    v1::SubmitSweepRequest request;
    request.set_request_id(absl::StrCat("r", number));
    request.set_name(absl::StrCat("s", number));
    request.set_source_yaml(std::string(200'000, '#'));
    *request.add_cells() = CellWithoutWeights();
    grpc::ClientContext context;
    context.set_deadline(gpr_time_from_seconds(10, GPR_TIMESPAN));
    context.set_wait_for_ready(wait);
    v1::SubmitSweepReply reply;
    return v1::SweepService::NewStub(MakeChannel(address_))->SubmitSweep(&context, request, &reply);
  }
  bool Exists(int number) {
    v1::GetSweepRequest request;
    request.set_sweep(absl::StrCat("s", number));
    grpc::ClientContext context;
    context.set_deadline(gpr_time_from_seconds(10, GPR_TIMESPAN));
    context.set_wait_for_ready(true);
    v1::Sweep sweep;
    return v1::SweepService::NewStub(MakeChannel(address_))
        ->GetSweep(&context, request, &sweep)
        .ok();
  }
  // Takes what is free but for so much.
  void Fill(int64_t leave) {
    const int64_t bytes = FreeDiskBytes(disk_).value() - leave;
    const FileDescriptor fd(::open(filler().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::posix_fallocate(fd.get(), 0, bytes), 0);
  }
  void AwaitLog(const char* text) const {
    const absl::Duration deadline = SystemClock().Monotonic() + absl::Seconds(60);
    while (Log().find(text) == std::string::npos) {
      ASSERT_LT(SystemClock().Monotonic(), deadline) << text;
      absl::SleepFor(absl::Milliseconds(20));
    }
  }
  std::string filler() const { return JoinPath(disk_, "filler"); }

  const TemporaryDirectory directory_;
  std::string disk_, address_;
  bool mounted_ = false;
  pid_t pid_ = 0;
};

TEST_F(FullDiskTest, LosesNothingAndGoesOnOnceThereIsRoom) {
  ASSERT_TRUE(Submit(0).ok());
  Fill(/*leave=*/900'000);
  int acknowledged = 0;
  while (Submit(acknowledged + 1).ok()) ASSERT_LT(++acknowledged, 100);
  AwaitLog("waits for room on the disk");
  EXPECT_FALSE(PollSubprocess(pid_)->has_value());  // it has not died of it
  EXPECT_EQ(Submit(acknowledged + 1, /*wait=*/false).error_code(), grpc::StatusCode::UNAVAILABLE);

  ASSERT_EQ(::unlink(filler().c_str()), 0);
  AwaitLog("there is room on the disk again");
  for (int i = 0; i <= acknowledged; ++i) EXPECT_TRUE(Exists(i)) << i;
  EXPECT_TRUE(Submit(acknowledged + 1).ok());  // the one that failed, once more
}

}  // namespace
}  // namespace qsweep
