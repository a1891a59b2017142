// What is on disk after the disk, the process or the power failed at any moment: a whole database
// with every commit that was acknowledged, and of the one under way all or nothing.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/status.h"
#include "storage/database.h"
#include "storage/logs.h"
#include "storage/metrics.h"
#include "storage/runs.h"
#include "storage/sweeps.h"
#include "storage/test_database.h"
#include "storage/testing/fault_disk.h"
#include "storage/transaction.h"

namespace qsweep::storage {
namespace {

using Fault = FaultDisk::Fault;

// Each about 26 pages, so that the log is copied into the database (at 1,000 pages) on the way.
constexpr int kCommits = 48;
constexpr size_t kTextBytes = 100'000;
const AttemptId kAttempt{RunId(1), AttemptNumber(1)};

absl::Status MakeRun(Database& database) {
  Transaction transaction(database);
  SweepRow sweep;
  sweep.request_id = "r";
  ASSIGN_OR_RETURN(const SweepId id, InsertSweep(transaction, sweep));
  RETURN_IF_ERROR(InsertSpec(transaction, {"key", "{}", "", "cifar10", "", 0}));
  RETURN_IF_ERROR(InsertRun(transaction, id, "run", "key").status());
  return transaction.Commit();
}

// A program that commits kCommits times, commit number i a point of step i and a long text.
class Program {
 public:
  absl::Status Open() {
    ASSIGN_OR_RETURN(database, Database::Open("test.db"));
    if (Single(*database, "SELECT count(*) FROM runs") > 0) return absl::OkStatus();
    const absl::Status status = MakeRun(*database);
    if (!status.ok()) database.reset();
    return status;
  }
  // On from where the database stands.
  absl::Status Run(int commits = kCommits) {
    const auto begin = static_cast<int>(Single(*database, "SELECT count(*) FROM logs")) + 1;
    for (int i = begin; i <= kCommits && i < begin + commits; ++i) {
      Transaction transaction(*database);
      RETURN_IF_ERROR(PutMetric(transaction, kAttempt, {"loss", i, 0.5}));
      RETURN_IF_ERROR(AddLog(transaction, kAttempt, i, "info", std::string(kTextBytes, 'x')));
      RETURN_IF_ERROR(transaction.Commit());
      acknowledged = i;
    }
    return absl::OkStatus();
  }
  absl::Status OpenAndRun() {
    RETURN_IF_ERROR(Open());
    return Run();
  }
  void ExpectWhole() {
    EXPECT_EQ(database->Check(), absl::OkStatus());
    const int64_t points = Single(*database, "SELECT count(*) FROM metrics");
    EXPECT_EQ(Single(*database, "SELECT count(*) FROM logs"), points);
    EXPECT_EQ(Single(*database, "SELECT max(step) FROM metrics"), points);
    EXPECT_GE(points, acknowledged);
    EXPECT_LE(points, acknowledged + 1);
  }

  std::unique_ptr<Database> database;
  int acknowledged = 0;
};

// The next process finds all that was acknowledged and can go on.
void ExpectRecovery(int acknowledged) {
  Program next;
  next.acknowledged = acknowledged;
  ASSERT_EQ(next.Open(), absl::OkStatus());
  next.ExpectWhole();
  EXPECT_EQ(next.Run(2), absl::OkStatus());
  next.ExpectWhole();
}

struct Counts {
  int64_t syncs = 0;
  int64_t writes = 0;
};

Counts Undisturbed() {
  FaultDisk disk;
  Program program;
  EXPECT_EQ(program.OpenAndRun(), absl::OkStatus());
  program.ExpectWhole();
  program.database.reset();
  return {disk.syncs(), disk.writes()};
}

void ExpectPowerLossIsSurvived(Fault fault, int64_t at, double arrived) {
  SCOPED_TRACE(testing::Message() << "at " << at << ", " << arrived << " of it arrived");
  FaultDisk disk;
  disk.Arm(fault, at);
  Program program;
  (void)program.OpenAndRun();
  program.database.reset();  // the last syncs and writes are of the close
  ASSERT_TRUE(disk.fired());
  disk.Arm(Fault::kNone, 0);
  disk.RestartAfterPowerLoss(arrived, static_cast<uint32_t>(at));
  ExpectRecovery(program.acknowledged);
}

TEST(DiskFault, PowerLossAtEverySync) {
  const Counts counts = Undisturbed();
  EXPECT_GT(counts.syncs, kCommits);
  for (int64_t at = 1; at <= counts.syncs; ++at) {
    ExpectPowerLossIsSurvived(Fault::kPowerLossBeforeSync, at, 0.0);
    ExpectPowerLossIsSurvived(Fault::kPowerLossBeforeSync, at, 0.5);
    ExpectPowerLossIsSurvived(Fault::kPowerLossBeforeSync, at, 1.0);
    ExpectPowerLossIsSurvived(Fault::kPowerLossAfterSync, at, 0.0);
    if (HasFailure()) return;
  }
}

TEST(DiskFault, PowerLossBetweenSyncs) {
  const Counts counts = Undisturbed();
  for (int64_t at = 1; at <= counts.writes; at += 61) {
    ExpectPowerLossIsSurvived(Fault::kPowerLossAtWrite, at, 0.5);
    if (HasFailure()) return;
  }
}

TEST(DiskFault, AFullDiskFailsTheCommitAndNothingElse) {
  const Counts counts = Undisturbed();
  for (int64_t at = 1; at <= counts.writes; at += 67) {
    SCOPED_TRACE(at);
    FaultDisk disk;
    disk.Arm(Fault::kDiskFull, at);
    Program program;
    const absl::Status status = program.OpenAndRun();
    ASSERT_TRUE(disk.fired() || status.ok());
    // A copying of the log that fails is tried again with the next commit.
    EXPECT_TRUE(status.ok() || absl::IsResourceExhausted(status)) << status;
    if (program.database != nullptr && at % 2 == 0) {
      disk.Arm(Fault::kNone, 0);  // there is room again
      EXPECT_EQ(program.Run(), absl::OkStatus());
    }
    disk.Crash();
    program.database.reset();
    disk.Arm(Fault::kNone, 0);
    disk.Restart();
    ExpectRecovery(program.acknowledged);
    if (HasFailure()) return;
  }
}

TEST(DiskFault, AWriteErrorFailsTheCommitAndNothingElse) {
  const Counts counts = Undisturbed();
  for (int64_t at = 1; at <= counts.writes; at += 71) {
    SCOPED_TRACE(at);
    FaultDisk disk;
    disk.Arm(Fault::kWriteError, at);
    Program program;
    (void)program.OpenAndRun();
    if (disk.fired()) disk.Crash();
    program.database.reset();
    EXPECT_TRUE(disk.fired());
    disk.Restart();
    ExpectRecovery(program.acknowledged);
    if (HasFailure()) return;
  }
}

// The process ends on the error; the next one reads from memory what never reached the disk, and
// builds on it. Then the power goes.
TEST(DiskFault, ASyncErrorIsNotForgotten) {
  const Counts counts = Undisturbed();
  for (int64_t at = 1; at <= counts.syncs; ++at) {
    SCOPED_TRACE(at);
    FaultDisk disk;
    disk.Arm(Fault::kSyncError, at);
    Program program;
    (void)program.OpenAndRun();
    if (disk.fired()) disk.Crash();
    program.database.reset();
    disk.Restart();
    Program next;
    next.acknowledged = program.acknowledged;
    ASSERT_EQ(next.Open(), absl::OkStatus());
    disk.Arm(Fault::kPowerLossAfterSync, 3);
    (void)next.Run();
    next.database.reset();
    disk.Arm(Fault::kNone, 0);
    disk.RestartAfterPowerLoss(0.0, 1);
    ExpectRecovery(next.acknowledged);
    if (HasFailure()) return;
  }
}

TEST(DiskFault, AUsedUpQuotaIsAFullDisk) {
  const Counts counts = Undisturbed();
  int errors = 0;  // none where only SQLite's own checkpoint, at the end, has no room
  for (int64_t at = 1; at <= counts.writes; at += 67) {
    SCOPED_TRACE(at);
    FaultDisk disk;
    disk.Arm(Fault::kQuota, at);
    Program program;
    const absl::Status status = program.OpenAndRun();
    EXPECT_TRUE(status.ok() || absl::IsResourceExhausted(status)) << status;
    errors += status.ok() ? 0 : 1;
    disk.Crash();
    program.database.reset();
    disk.Arm(Fault::kNone, 0);
    disk.Restart();
    ExpectRecovery(program.acknowledged);
  }
  EXPECT_GT(errors, 10);
}

}  // namespace
}  // namespace qsweep::storage
