// What an administrator asks for: copies of the database, and how the scheduler is.
#include "common/hash.h"
#include "common/version.h"
#include "scheduler/security_fixture.h"

namespace qsweep {
namespace {

using testing::HasSubstr;

TEST_F(SecurityTest, ABackupIsWholeAndNothingOfItStays) {
  InitAndStart();
  grpc::ClientContext context;
  const auto reader = admin_->BackupDatabase(&context, v1::BackupDatabaseRequest());
  v1::ArtifactChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  const v1::ArtifactHeader header = chunk.header();
  std::string bytes;
  while (reader->Read(&chunk)) bytes += chunk.data();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(static_cast<int64_t>(bytes.size()), header.bytes());
  EXPECT_EQ(Sha256Hex(bytes), header.sha256());
  const std::string path = JoinPath(root_, "backup.db");
  ASSERT_TRUE(WriteFileAtomic(path, bytes).ok());
  EXPECT_EQ(CheckDatabaseAt(path), absl::OkStatus());
  EXPECT_THAT(ListDirectory(options_.data_directory).value(),
              testing::Not(testing::Contains(HasSubstr("copy"))));
}

TEST_F(SecurityTest, CopiesThatAKilledSchedulerLeftAreRemoved) {
  ASSERT_TRUE(MakeDirectories(options_.data_directory).ok());
  const auto path = [this](const char* name) { return JoinPath(options_.data_directory, name); };
  for (const char* name : {"copy-7.db", "copy-7.db-journal", "copy-mine.db"}) {
    ASSERT_TRUE(WriteFileAtomic(path(name), "half of it").ok());
  }
  InitAndStart();
  EXPECT_FALSE(PathExists(path("copy-7.db")));
  EXPECT_FALSE(PathExists(path("copy-7.db-journal")));
  EXPECT_TRUE(PathExists(path("copy-mine.db")));
}

TEST_F(SecurityTest, HealthSaysHowItIs) {
  InitAndStart();
  grpc::ClientContext context;
  v1::Health health;
  ASSERT_TRUE(admin_->GetHealth(&context, v1::GetHealthRequest(), &health).ok());
  EXPECT_EQ(health.version(), kVersion);
  EXPECT_GT(health.disk_free_bytes(), 0);
  EXPECT_GT(health.database_bytes(), 4096);
  EXPECT_GT(health.rss_bytes(), 1 << 20);
  EXPECT_GT(health.memory_available_bytes(), 1 << 20);
  EXPECT_GT(health.certificate_ends_unix_s() - health.unix_us() / 1'000'000, 9 * 365 * 86'400);
}

TEST_F(SecurityTest, HealthOfADirectoryThatIsNotUtf8) {
  options_.data_directory = JoinPath(root_, "d\xFFta");
  InitAndStart();
  grpc::ClientContext context;
  v1::Health health;
  ASSERT_TRUE(admin_->GetHealth(&context, v1::GetHealthRequest(), &health).ok());
  EXPECT_THAT(health.data_directory(), HasSubstr("/d?ta"));
}

}  // namespace
}  // namespace qsweep
