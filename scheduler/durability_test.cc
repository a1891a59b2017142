// What is on the disk when: the order in which files are synced and named.
#include <gmock/gmock.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>

#include "common/file.h"
#include "common/hash.h"
#include "scheduler/service_fixture.h"

namespace {

std::mutex calls_mutex;
// "sync PATH", "rename FROM TO", of paths with this in them.
std::string calls_under;
std::vector<std::string> calls;

void Note(const std::string& call) {
  std::lock_guard<std::mutex> lock(calls_mutex);
  if (!calls_under.empty() && call.find(calls_under) != std::string::npos) calls.push_back(call);
}

}  // namespace

// In the system's place, for this whole program.
extern "C" int fsync(int fd) {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), error);
  Note("sync " + path.string());
  return static_cast<int>(::syscall(SYS_fsync, fd));
}
extern "C" int rename(const char* from, const char* to) noexcept {
  Note(std::string("rename ") + from + " " + to);
  return static_cast<int>(::syscall(SYS_rename, from, to));
}

namespace qsweep {
namespace {

using testing::ElementsAre;
using testing::MatchesRegex;

// Of files whose paths have `under` in them, while `action` is under way.
template <typename Action>
std::vector<std::string> CallsUnder(const std::string& under, const Action& action) {
  const auto exchange = [](const std::string& next) {
    std::lock_guard<std::mutex> lock(calls_mutex);
    calls_under = next;
    return std::exchange(calls, {});
  };
  exchange(under);
  action();
  return exchange("");
}

TEST_F(ServiceTest, AnUploadIsOnTheDiskBeforeItIsAcknowledged) {
  Submit(Request("study", 1));
  ScriptedWorker worker(channel_, "w");
  const v1::Attempt attempt = NextAssign(worker);
  const std::string sha256 = Sha256Hex("ten");
  const std::string shelf = ".*/artifacts/" + sha256.substr(0, 2);
  EXPECT_THAT(
      CallsUnder("/artifacts", [&] { ASSERT_TRUE(worker.Upload(attempt, "ten", sha256).ok()); }),
      ElementsAre(MatchesRegex("sync .*/incoming/" + sha256 + "\\..*"),
                  MatchesRegex("sync .*/artifacts"),  // the new shelf's name
                  MatchesRegex("rename .*/incoming/.* " + shelf + "/.*"),
                  MatchesRegex("sync " + shelf)));
}

TEST_F(ServiceTest, AFileIsOnTheDiskBeforeItHasItsName) {
  ASSERT_TRUE(MakeDirectories(JoinPath(root_, "mine")).ok());
  EXPECT_THAT(CallsUnder("/mine", [&] { Write("mine/f", "x"); }),
              ElementsAre(MatchesRegex("sync .*/mine/f\\.tmp\\..*"),
                          MatchesRegex("rename .*/mine/f\\.tmp\\..* .*/mine/f"),
                          MatchesRegex("sync .*/mine")));
}

}  // namespace
}  // namespace qsweep
