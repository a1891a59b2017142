// For tests: a database of its own in a directory that goes with it.
#ifndef QSWEEP_STORAGE_TEST_DATABASE_H_
#define QSWEEP_STORAGE_TEST_DATABASE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/file.h"
#include "common/testing/temporary_directory.h"
#include "storage/database.h"

namespace qsweep::storage {

class TestDatabase {
 public:
  TestDatabase() { Reopen(); }
  ~TestDatabase() { database.reset(); }  // before its directory goes
  std::string path() const { return directory_.Path("test.db"); }
  void Reopen() {
    database.reset();
    absl::StatusOr<std::unique_ptr<Database>> opened = Database::Open(path());
    EXPECT_TRUE(opened.ok()) << opened.status();
    database = *std::move(opened);
  }

  std::unique_ptr<Database> database;

 private:
  const TemporaryDirectory directory_;
};

// The one number that this asks for.
inline int64_t Single(Database& database, const char* sql) {
  Statement query(database, sql);
  EXPECT_TRUE(query.Step().value());
  return query.Int(0);
}

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_TEST_DATABASE_H_
