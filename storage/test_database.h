// For tests: a database of its own in a directory that goes with it.
#ifndef QSWEEP_STORAGE_TEST_DATABASE_H_
#define QSWEEP_STORAGE_TEST_DATABASE_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <string>

#include "common/file.h"
#include "storage/database.h"

namespace qsweep::storage {

class TestDatabase {
 public:
  TestDatabase() {
    directory_ = testing::TempDir() + "qsweep-XXXXXX";
    EXPECT_NE(::mkdtemp(directory_.data()), nullptr);
    Reopen();
  }
  ~TestDatabase() {
    database.reset();
    EXPECT_TRUE(RemoveTree(directory_).ok());
  }
  std::string path() const { return JoinPath(directory_, "test.db"); }
  void Reopen() {
    database.reset();
    absl::StatusOr<std::unique_ptr<Database>> opened = Database::Open(path());
    EXPECT_TRUE(opened.ok()) << opened.status();
    database = *std::move(opened);
  }

  std::unique_ptr<Database> database;

 private:
  std::string directory_;
};

// The one number that this asks for.
inline int64_t Single(Database& database, const char* sql) {
  Statement query(database, sql);
  EXPECT_TRUE(query.Step().value());
  return query.Int(0);
}

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_TEST_DATABASE_H_
