#include "common/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/enum_text.h"
#include "common/file.h"
#include "common/testing/temporary_directory.h"

namespace qsweep {
namespace {

using testing::HasSubstr;

v1::Credentials Some() {
  v1::Credentials credentials;
  credentials.set_address("lab.example.org:7411");
  credentials.set_ca_certificate("-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n");
  credentials.set_token("qs.7.secret");
  return credentials;
}

TEST(Invitation, IsOneLineThatBringsEverything) {
  const std::string line = FormatInvitation(Some());
  EXPECT_EQ(line.find_first_of(" \n'\"$"), std::string::npos) << line;
  const auto read = ParseInvitation(line + "\n");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->SerializeAsString(), Some().SerializeAsString());
}

TEST(Invitation, CutOrChangedAnywhereIsRefused) {
  const std::string line = FormatInvitation(Some());
  for (size_t i = 0; i < line.size(); ++i) {
    EXPECT_FALSE(ParseInvitation(line.substr(0, i)).ok()) << i;
    std::string changed = line;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(ParseInvitation(changed).ok()) << changed;
  }
}

TEST(Credentials, AreForTheirOwnerOnly) {
  const TemporaryDirectory directory;
  const std::string path = directory.Path("new/credentials.json");
  EXPECT_EQ(LoadCredentials(path).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(SaveCredentials(path, Some()).ok());
  EXPECT_EQ(LoadCredentials(path)->token(), "qs.7.secret");
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  EXPECT_THAT(LoadCredentials(path).status().message(), HasSubstr("chmod 600"));
  ASSERT_TRUE(WritePrivateFile(path, "").ok());
  EXPECT_THAT(LoadCredentials(path).status().message(), HasSubstr("damaged; let yourself in"));
}

TEST(Credentials, ALieInTheAddressNamesNoOtherDirectory) {
  ::setenv("XDG_CONFIG_HOME", "/config", 1);
  EXPECT_EQ(UserCredentialsPath("../../etc/x:1"), "/config/qsweep/.._.._etc_x:1.json");
}

TEST(Roles, HaveNames) {
  EXPECT_EQ(EnumText(v1::ROLE_WORKER), "worker");
  EXPECT_EQ(EnumFromText<v1::Role>("submit"), v1::ROLE_SUBMIT);
  EXPECT_EQ(EnumFromText<v1::Role>("root"), v1::ROLE_UNSPECIFIED);
}

TEST(Secrets, AreNeverTheSame) {
  EXPECT_NE(NewSecret(), NewSecret());
  EXPECT_EQ(NewSecret().size(), 43u);
  EXPECT_TRUE(SecretsEqual("abc", "abc"));
  EXPECT_FALSE(SecretsEqual("abc", "abd"));
  EXPECT_FALSE(SecretsEqual("abc", "abcd"));
}

}  // namespace
}  // namespace qsweep
