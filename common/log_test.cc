#include "common/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/testing/temporary_directory.h"

namespace qsweep {
namespace {

using testing::HasSubstr;

TEST(Log, AFileIsRotatedAndTheOldestGoes) {
  const TemporaryDirectory directory;
  const std::string path = directory.Path("d.log");
  SetLogName("test");
  ASSERT_TRUE(SetLogFile(path, /*max_bytes=*/250).ok());
  LogInfo(LogTag({RunId(12), AttemptNumber(2)}) + "two\nlines");
  const std::string first = ReadFile(path, 1000).value();
  EXPECT_THAT(first, HasSubstr("Z info test run=12 attempt=2: two\\nlines\n"));
  LogInfo("\x1b[2Jgone\rb\xc3\xa4");
  EXPECT_THAT(ReadFile(path, 1000).value(), HasSubstr(" \\x1b[2Jgone\\x0db\xc3\xa4\n"));
  for (int i = 0; i < 50; ++i) LogWarning(absl::StrCat("line ", i, std::string(50, '.')));
  EXPECT_EQ(ListDirectory(directory.path())->size(), 5u);
  EXPECT_THAT(ReadFile(path, 1000).value(), HasSubstr("line 49"));
  for (const char* name : {"d.log", "d.log.1", "d.log.2", "d.log.3", "d.log.4"}) {
    EXPECT_LE(FileSize(directory.Path(name)).value(), 250) << name;
  }
}

}  // namespace
}  // namespace qsweep
