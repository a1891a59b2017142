#include "common/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/testing/temporary_directory.h"

namespace qsweep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FileTest : public ::testing::Test {
 protected:
  std::string Path(absl::string_view name) const { return directory_.Path(name); }

  const TemporaryDirectory directory_;
};

TEST_F(FileTest, WritesAndReadsWhole) {
  const std::string bytes("a\0b\n", 4);
  ASSERT_TRUE(WriteFileAtomic(Path("f"), bytes).ok());
  EXPECT_EQ(ReadFile(Path("f"), 4).value(), bytes);
  EXPECT_EQ(FileSize(Path("f")).value(), 4);
  ASSERT_TRUE(WriteFileAtomic(Path("f"), "new").ok());
  EXPECT_EQ(ReadFile(Path("f"), 100).value(), "new");
  // Nothing temporary stays behind.
  EXPECT_THAT(ListDirectory(directory_.path()).value(), ElementsAre("f"));
}

TEST_F(FileTest, WritesWhereALinkPoints) {
  ASSERT_TRUE(WriteFileAtomic(Path("f"), "old").ok());
  ASSERT_TRUE(MakeDirectories(Path("d")).ok());
  ASSERT_EQ(::symlink("../f", Path("d/link").c_str()), 0);
  ASSERT_EQ(::symlink("none", Path("dangling").c_str()), 0);
  ASSERT_EQ(::symlink("loop", Path("loop").c_str()), 0);
  ASSERT_TRUE(WriteFileAtomic(Path("d/link"), "new").ok());
  EXPECT_EQ(ReadFile(Path("f"), 100).value(), "new");
  ASSERT_TRUE(WriteFileAtomic(Path("dangling"), "made").ok());
  EXPECT_EQ(ReadFile(Path("none"), 100).value(), "made");
  EXPECT_FALSE(WriteFileAtomic(Path("loop"), "").ok());
  EXPECT_THAT(ListDirectory(directory_.path()).value(),
              ElementsAre("d", "dangling", "f", "loop", "none"));
}

TEST_F(FileTest, NeitherReplacesNorWaitsForAPipe) {
  ASSERT_EQ(::mkfifo(Path("pipe").c_str(), 0600), 0);
  ASSERT_EQ(::symlink("pipe", Path("link").c_str()), 0);
  for (const char* name : {"pipe", "link"}) {
    EXPECT_THAT(WriteFileAtomic(Path(name), "x").message(), HasSubstr("pipe: not a regular file"));
    EXPECT_THAT(ReadRegularFile(Path(name), 100).status().message(),
                HasSubstr("not a regular file"));
  }
  struct stat info;
  ASSERT_EQ(::stat(Path("link").c_str(), &info), 0);
  EXPECT_TRUE(S_ISFIFO(info.st_mode));
}

TEST_F(FileTest, FailuresSayWhereAndWhat) {
  EXPECT_EQ(ReadFile(Path("none"), 1).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(ReadFile(Path("none"), 1).status().message(), HasSubstr(Path("none")));
  ASSERT_TRUE(WriteFileAtomic(Path("f"), "12345").ok());
  EXPECT_EQ(ReadFile(Path("f"), 4).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(WriteFileAtomic(Path("no/such/f"), "").ok());
  EXPECT_FALSE(MakeDirectories(Path("f/g")).ok());
  EXPECT_EQ(ErrnoStatus(ENOSPC, "p", "write").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoStatus(EACCES, "p", "open").code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(FileTest, RemovesTreesButNotWhatLinksPointTo) {
  ASSERT_TRUE(MakeDirectories(Path("keep")).ok());
  ASSERT_TRUE(WriteFileAtomic(Path("keep/f"), "x").ok());
  ASSERT_TRUE(MakeDirectories(Path("gone/deep")).ok());
  ASSERT_EQ(::symlink(Path("keep").c_str(), Path("gone/link").c_str()), 0);
  EXPECT_TRUE(RemoveTree(Path("gone")).ok());
  EXPECT_TRUE(RemoveTree(Path("gone")).ok());
  EXPECT_FALSE(PathExists(Path("gone")));
  EXPECT_TRUE(PathExists(Path("keep/f")));
}

TEST_F(FileTest, RemovesATreeThatOthersRemoveToo) {
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(MakeDirectories(Path(absl::StrCat("gone/", i, "/deep"))).ok());
  }
  absl::Status theirs;
  std::thread other([&] { theirs = RemoveTree(Path("gone")); });
  EXPECT_EQ(RemoveTree(Path("gone")), absl::OkStatus());
  other.join();
  EXPECT_EQ(theirs, absl::OkStatus());
  EXPECT_FALSE(PathExists(Path("gone")));
}

TEST_F(FileTest, JoinsPaths) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
  EXPECT_EQ(JoinPath("a", "/b"), "/b");
}

TEST_F(FileTest, ALockLastsAsLongAsItsProcess) {
  const std::string path = Path("lock");
  EXPECT_FALSE(FileLock::IsHeld(path));
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {  // holds the lock until it is killed
    const auto lock = FileLock::Acquire(path);
    (void)!::write(ends[1], lock.ok() ? "y" : "n", 1);
    ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ends[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  EXPECT_TRUE(FileLock::IsHeld(path));
  EXPECT_EQ(FileLock::Holder(path), child);
  const auto second = FileLock::Acquire(path);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(second.status().message(), HasSubstr(std::to_string(child)));

  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_FALSE(FileLock::IsHeld(path));
  EXPECT_FALSE(FileLock::IsHeld(path + ".none"));
  const std::string loop = path + ".loop";  // cannot be opened, whoever may hold it
  ASSERT_EQ(::symlink(loop.c_str(), loop.c_str()), 0);
  EXPECT_TRUE(FileLock::IsHeld(loop));
  {
    const auto third = FileLock::Acquire(path);
    ASSERT_TRUE(third.ok()) << third.status();
  }
  EXPECT_FALSE(FileLock::IsHeld(path));
}

TEST(FileDescriptor, ClosesOnceAndMoves) {
  int fd;
  {
    FileDescriptor a(::open("/dev/null", O_RDONLY));
    fd = a.get();
    FileDescriptor b(std::move(a));
    EXPECT_FALSE(a.valid());
    EXPECT_EQ(b.get(), fd);
  }
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

}  // namespace
}  // namespace qsweep
