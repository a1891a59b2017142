#include "common/address.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace qsweep {
namespace {

TEST(ParseAddress, TakesSocketsHostsAndPorts) {
  EXPECT_EQ(ParseAddress("unix:/tmp/s").value(), "unix:/tmp/s");
  EXPECT_EQ(ParseAddress("example.org").value(), "example.org:7411");
  EXPECT_EQ(ParseAddress("127.0.0.1:0").value(), "127.0.0.1:0");
  EXPECT_EQ(ParseAddress("[::1]:80").value(), "[::1]:80");
  EXPECT_EQ(ParseAddress("[::1]").value(), "[::1]:7411");
  EXPECT_EQ(ParseAddress("::1").value(), "[::1]:7411");
  EXPECT_EQ(ParseAddress("fe80::1%eth0").value(), "[fe80::1%eth0]:7411");
}

TEST(ParseAddress, RefusesWhatNoSocketHas) {
  for (const std::string bad : {"", ":80", "host:", "host:x", "host:65536", "host:-1",
                                "unix:", "a:b:80", "[host]:80", "[::1:80", "::1]:80", "[::1]80"}) {
    EXPECT_EQ(ParseAddress(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_TRUE(ParseAddress(absl::StrCat("unix:", std::string(107, 'a'))).ok());
  EXPECT_FALSE(ParseAddress(absl::StrCat("unix:", std::string(108, 'a'))).ok());
}

TEST(IsLocalAddress, IsTrueOfWhatOnlyThisMachineReaches) {
  for (const char* local :
       {"unix:s", "127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1", "[0::1]:1"}) {
    EXPECT_TRUE(IsLocalAddress(local)) << local;
  }
  for (const char* open : {"0.0.0.0:1", "[::]:1", "[::2]:1", "example.org:1",
                           "localhost.evil.org:1", "127.example.org:1", "127.0.0.1.org:1"}) {
    EXPECT_FALSE(IsLocalAddress(open)) << open;
  }
}

}  // namespace
}  // namespace qsweep
