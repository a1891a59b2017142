#include "scheduler/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/subprocess.h"
#include "common/testing/file_tree.h"
#include "scheduler/init.h"

namespace qsweep {
namespace {

// Judged by the openssl program, not by the library calls that made them.
class CertificatesTest : public FileTreeTest {
 protected:
  absl::Status Verify(const KeyPair& authority, const KeyPair& server,
                      const std::vector<std::string>& more) {
    Write("ca", authority.certificate);
    Write("server", server.certificate);
    std::vector<std::string> argv = {"/usr/bin/openssl",   "verify",    "-x509_strict",
                                     "-purpose",           "sslserver", "-CAfile",
                                     JoinPath(root_, "ca")};
    argv.insert(argv.end(), more.begin(), more.end());
    argv.push_back(JoinPath(root_, "server"));
    return RunForOutput(argv, absl::Seconds(30)).status();
  }
};

TEST_F(CertificatesTest, AServerIsKnownByItsNamesUnderItsAuthorityOnly) {
  if (!PathExists("/usr/bin/openssl")) GTEST_SKIP() << "no openssl program";
  const KeyPair authority = MakeAuthority().value();
  const KeyPair server =
      MakeServerCertificate(authority, {"lab.example.org", "10.1.2.3", "fe80::1"}).value();
  EXPECT_EQ(Verify(authority, server, {"-verify_hostname", "lab.example.org"}), absl::OkStatus());
  EXPECT_EQ(Verify(authority, server, {"-verify_ip", "10.1.2.3"}), absl::OkStatus());
  EXPECT_EQ(Verify(authority, server, {"-verify_ip", "fe80::1"}), absl::OkStatus());
  EXPECT_FALSE(Verify(authority, server, {"-verify_hostname", "other.example.org"}).ok());
  EXPECT_FALSE(Verify(MakeAuthority().value(), server, {}).ok());
  EXPECT_FALSE(Verify(server, server, {}).ok());  // which is no authority
}

TEST_F(CertificatesTest, ACertificateIsOfOneKey) {
  const KeyPair one = MakeAuthority().value(), other = MakeAuthority().value();
  EXPECT_TRUE(IsPair(one));
  EXPECT_FALSE(IsPair({one.key, other.certificate}));
  EXPECT_FALSE(IsPair({"", one.certificate}));
}

TEST_F(CertificatesTest, ALongNameIsNoHindrance) {
  const std::string host = absl::StrCat(std::string(60, 'a'), ".example.org");
  const KeyPair authority = MakeAuthority().value();
  const absl::StatusOr<KeyPair> server = MakeServerCertificate(authority, {host});
  ASSERT_TRUE(server.ok()) << server.status();
  if (!PathExists("/usr/bin/openssl")) GTEST_SKIP() << "no openssl program";
  EXPECT_EQ(Verify(authority, *server, {"-verify_hostname", host}), absl::OkStatus());
}

TEST_F(CertificatesTest, LastsForYears) {
  const KeyPair authority = MakeAuthority().value();
  const int64_t years =
      (CertificateEnd(authority.certificate) - SystemClock().UnixMicros() / 1'000'000) /
      (365 * 24 * 60 * 60);
  EXPECT_GE(years, 9);
  EXPECT_EQ(CertificateEnd("rubbish"), 0);
}

TEST_F(CertificatesTest, AHostNameThatIsNoneIsAnError) {
  for (const char* host : {"a,IP:1.2.3.4", "localhost:7411", "1.2.3.4:7411", "fe80::1::2", ""}) {
    EXPECT_FALSE(MakeServerCertificate(MakeAuthority().value(), {host}).ok()) << host;
  }
}

TEST(Hosts, AnOwnNameThatNoCertificateCanHoldIsLeftOut) {
  EXPECT_EQ(CertificateHosts({"lab.example.org"}, "my_box").value(),
            (std::vector<std::string>{"lab.example.org", "localhost", "127.0.0.1", "::1"}));
  EXPECT_EQ(CertificateHosts({}, "box").value().front(), "box");
  EXPECT_THAT(std::string(CertificateHosts({}, "my_box").status().message()),
              testing::AllOf(testing::HasSubstr("'my_box'"), testing::HasSubstr("--host")));
}

}  // namespace
}  // namespace qsweep
