#include "storage/backup.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "common/file.h"
#include "storage/test_database.h"
#include "storage/transaction.h"

namespace qsweep::storage {
namespace {

class BackupTest : public testing::Test {
 protected:
  void Insert(int64_t begin, int64_t end) {
    Transaction transaction(*test_.database);
    for (int64_t i = begin; i < end; ++i) {
      ASSERT_TRUE(
          transaction
              .ExecuteOne("INSERT INTO workers (id, info_json, last_seen_us) VALUES (?, ?, 0)",
                          absl::StrCat("w", i), std::string(4000, 'x'))
              .ok());
    }
    ASSERT_TRUE(transaction.Commit().ok());
  }
  std::string copy() const { return test_.path() + ".copy"; }
  void Copy() {
    const auto backup = Backup::Begin(*test_.database, copy());
    ASSERT_TRUE(backup.ok()) << backup.status();
    while (!(*backup)->Step(100).value()) continue;
    ASSERT_EQ((*backup)->Finish(), absl::OkStatus());
  }

  TestDatabase test_;
};

TEST_F(BackupTest, CarriesOverWhatIsCommittedMeanwhile) {
  Insert(0, 300);
  const auto backup = Backup::Begin(*test_.database, copy());
  ASSERT_TRUE(backup.ok()) << backup.status();
  int64_t rows = 300;
  while (!(*backup)->Step(20).value()) {
    ASSERT_LT(rows, 600);
    Insert(rows, rows + 3);
    rows += 3;
  }
  ASSERT_EQ((*backup)->Finish(), absl::OkStatus());
  Insert(rows, rows + 1);  // too late
  EXPECT_GT(rows, 310);
  EXPECT_EQ(CheckDatabaseFile(copy()), absl::OkStatus());
  EXPECT_FALSE(PathExists(copy() + "-wal"));
  EXPECT_EQ(Single(**Database::Open(copy()), "SELECT count(*) FROM workers"), rows);
}

TEST_F(BackupTest, LeavesNothingBehindUnlessItIsDone) {
  Insert(0, 300);
  {
    const auto backup = Backup::Begin(*test_.database, copy());
    ASSERT_TRUE(backup.ok());
    EXPECT_FALSE((*backup)->Step(1).value());
    EXPECT_TRUE(PathExists(copy()));
  }
  EXPECT_FALSE(PathExists(copy()));
}

TEST_F(BackupTest, OverwritesNothing) {
  ASSERT_TRUE(WriteFileAtomic(copy(), "precious").ok());
  EXPECT_EQ(Backup::Begin(*test_.database, copy()).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReadFile(copy(), 100).value(), "precious");
}

TEST_F(BackupTest, TheCheckFindsADamagedPage) {
  Insert(0, 300);
  Copy();
  std::string bytes = ReadFile(copy(), 1 << 24).value();
  const size_t page = bytes.size() / 4096 / 2 * 4096;
  bytes.replace(page, 64, std::string(64, '\xff'));
  ASSERT_TRUE(WriteFileAtomic(copy(), bytes).ok());
  EXPECT_EQ(CheckDatabaseFile(copy()).code(), absl::StatusCode::kDataLoss);
}

TEST_F(BackupTest, TheCheckKnowsItsOwnFromOtherDatabases) {
  for (const char* made : {"", "CREATE TABLE t(a)"}) {
    sqlite3* other = nullptr;
    ASSERT_EQ(sqlite3_open(copy().c_str(), &other), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(other, made, nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(other);
    EXPECT_EQ(CheckDatabaseFile(copy()).code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(BackupTest, TheCheckNeedsAFile) {
  EXPECT_EQ(CheckDatabaseFile(copy()).code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(PathExists(copy()));
}

}  // namespace
}  // namespace qsweep::storage
