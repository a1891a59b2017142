#include "storage/database.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cmath>
#include <map>
#include <set>
#include <thread>

#include "absl/time/clock.h"
#include "common/file.h"
#include "storage/migrations.h"
#include "storage/test_database.h"
#include "storage/transaction.h"

namespace qsweep::storage {
namespace {

// What is in it, table by table; columns that a migration added stand where they were added.
std::map<std::string, std::set<std::string>> Schema(Database& database) {
  std::map<std::string, std::set<std::string>> columns;
  Statement query(database,
                  "SELECT m.type || ' ' || m.name, c.name || ' ' || c.type || ' ' || c.\"notnull\" "
                  "FROM sqlite_schema AS m LEFT JOIN pragma_table_info(m.name) AS c");
  while (query.Step().value()) columns[query.Text(0)].insert(query.Text(1));
  return columns;
}

TEST(Database, IsDurableAndCheckedAsSaid) {
  TestDatabase test;
  Statement mode(*test.database, "PRAGMA journal_mode");
  ASSERT_TRUE(mode.Step().value());
  EXPECT_EQ(mode.Text(0), "wal");
  EXPECT_EQ(Single(*test.database, "PRAGMA synchronous"), 2);
  EXPECT_EQ(Single(*test.database, "PRAGMA foreign_keys"), 1);
}

TEST(Database, ReopensAtTheSameVersion) {
  TestDatabase test;
  const auto version = static_cast<int64_t>(Migrations().size());
  EXPECT_EQ(Single(*test.database, "PRAGMA user_version"), version);
  test.Reopen();
  EXPECT_EQ(Single(*test.database, "PRAGMA user_version"), version);
}

// Of every schema that was ever released there is a database in tests/golden.
TEST(Database, MigratesEveryReleasedSchema) {
  TestDatabase fresh;
  for (const std::string released : {"0001"}) {
    TestDatabase test;
    test.database.reset();
    ASSERT_TRUE(RemoveTree(test.path()).ok());
    const auto dump =
        ReadFile(QSWEEP_SOURCE_DIR "/tests/golden/schema-" + released + ".sql", 1 << 24);
    ASSERT_TRUE(dump.ok()) << dump.status();
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open(test.path().c_str(), &raw), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(raw, dump->c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(raw);
    sqlite3_close(raw);
    test.Reopen();
    EXPECT_EQ(test.database->Check(), absl::OkStatus());
    EXPECT_EQ(Schema(*test.database), Schema(*fresh.database)) << released;
    EXPECT_EQ(Single(*test.database, "SELECT count(*) FROM runs WHERE state = 'succeeded'"), 2);
    EXPECT_EQ(Single(*test.database, "SELECT count(*) FROM runs WHERE state = 'pending'"), 2);
    EXPECT_EQ(Single(*test.database, "SELECT count(*) FROM metrics WHERE name = 'eval/top1'"), 2);
  }
}

TEST(Database, RefusesANewerSchema) {
  TestDatabase test;
  test.database.reset();
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(test.path().c_str(), &raw), SQLITE_OK);
  sqlite3_exec(raw, "PRAGMA user_version = 999", nullptr, nullptr, nullptr);
  sqlite3_close(raw);
  const absl::Status status = Database::Open(test.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("newer qsweep"), absl::string_view::npos) << status;
}

TEST(Database, RefusesAFileThatIsNone) {
  TestDatabase test;
  test.database.reset();
  ASSERT_TRUE(WriteFileAtomic(test.path(), std::string(5000, 'x')).ok());
  EXPECT_EQ(Database::Open(test.path()).status().code(), absl::StatusCode::kDataLoss);
}

// As a killed process leaves it: whatever the length of the log, all of it counts.
TEST(Database, OpensTheLongLogOfAKilledProcess) {
  TestDatabase test;
  for (int i = 0; i < 30; ++i) {
    Transaction transaction(*test.database);
    ASSERT_TRUE(
        transaction
            .ExecuteOne("INSERT INTO workers (id, info_json, last_seen_us) VALUES (?, ?, 0)",
                        absl::StrCat("w", i), std::string(100'000, 'x'))
            .ok());
    ASSERT_TRUE(transaction.Commit().ok());
  }
  const std::string copy = test.path() + ".copy";
  for (const char* part : {"", "-wal"}) {
    const std::string bytes = ReadFile(test.path() + part, 1 << 24).value();
    ASSERT_TRUE(WriteFileAtomic(copy + part, bytes).ok());
  }
  EXPECT_GT(FileSize(copy + "-wal").value(), 3'000'000);
  const auto opened = Database::Open(copy);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(Single(**opened, "SELECT count(*) FROM workers"), 30);
}

TEST(Statement, KeepsEveryValue) {
  TestDatabase test;
  const std::string text("a\0b'\xc3\xa4", 6);
  Statement query(*test.database, "SELECT ?, ?, ?, ?, ?", text, int64_t{1} << 62, -0.5, NAN,
                  std::optional<std::string>());
  ASSERT_TRUE(query.Step().value());
  EXPECT_EQ(query.Text(0), text);
  EXPECT_EQ(query.Int(1), int64_t{1} << 62);
  EXPECT_EQ(query.Real(2), -0.5);
  EXPECT_TRUE(std::isnan(query.Real(3)));
  EXPECT_TRUE(query.IsNull(4));
}

constexpr char kInsert[] = "INSERT INTO workers (id, info_json, last_seen_us) VALUES (?, '{}', 0)";

TEST(Transaction, RollsBackUnlessCommitted) {
  TestDatabase test;
  {
    Transaction transaction(*test.database);
    ASSERT_TRUE(transaction.ExecuteOne(kInsert, "a").ok());
  }
  {
    Transaction transaction(*test.database);
    ASSERT_TRUE(transaction.ExecuteOne(kInsert, "b").ok());
    ASSERT_TRUE(transaction.Commit().ok());
  }
  test.Reopen();
  EXPECT_EQ(Single(*test.database, "SELECT count(*) FROM workers WHERE id = 'a'"), 0);
  EXPECT_EQ(Single(*test.database, "SELECT count(*) FROM workers WHERE id = 'b'"), 1);
}

TEST(Transaction, NeverCommitsAfterAFailedWrite) {
  TestDatabase test;
  {
    Transaction transaction(*test.database);
    ASSERT_TRUE(transaction.ExecuteOne(kInsert, "a").ok());
    EXPECT_EQ(transaction.ExecuteOne(kInsert, "a").code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_FALSE(transaction.ExecuteOne(kInsert, "b").ok());  // poisoned
    EXPECT_FALSE(transaction.Commit().ok());
  }
  EXPECT_EQ(Single(*test.database, "SELECT count(*) FROM workers"), 0);
}

TEST(Transaction, LosesACompareAndSetLoudly) {
  TestDatabase test;
  Transaction transaction(*test.database);
  const absl::Status status =
      transaction.ExecuteOne("UPDATE workers SET last_seen_us = 1 WHERE id = 'nobody'");
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(transaction.Commit().code(), absl::StatusCode::kAborted);
}

TEST(Transaction, NeverCommitsAfterAFailedRead) {
  TestDatabase test;
  constexpr char kOverflow[] = "SELECT abs(?)";  // of the least integer there is
  {
    Transaction transaction(*test.database);
    ASSERT_TRUE(transaction.ExecuteOne(kInsert, "a").ok());
    EXPECT_FALSE(Statement(*test.database, kOverflow, INT64_MIN).Step().ok());
    EXPECT_FALSE(transaction.Commit().ok());
  }
  EXPECT_EQ(Single(*test.database, "SELECT count(*) FROM workers"), 0);
  EXPECT_FALSE(Statement(*test.database, kOverflow, INT64_MIN).Step().ok());  // in none
  Transaction next(*test.database);
  ASSERT_TRUE(next.ExecuteOne(kInsert, "a").ok());
  EXPECT_EQ(next.Commit(), absl::OkStatus());
}

TEST(Database, IsNobodyElsesWhileItIsOpen) {
  TestDatabase test;
  constexpr char kRead[] = "SELECT count(*) FROM runs";
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(test.path().c_str(), &other), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(other, kRead, nullptr, nullptr, nullptr), SQLITE_BUSY);
  test.database.reset();
  EXPECT_EQ(sqlite3_exec(other, kRead, nullptr, nullptr, nullptr), SQLITE_OK);
  std::thread instant([other] {
    absl::SleepFor(absl::Milliseconds(300));
    sqlite3_close(other);
  });
  test.Reopen();  // waits for it
  instant.join();
}

}  // namespace
}  // namespace qsweep::storage
