#include "scheduler/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/subprocess.h"
#include "common/testing/file_tree.h"
#include "scheduler/init.h"
#include "scheduler/security.h"

namespace qsweep {
namespace {

// An authority's, made by the openssl program.
constexpr char kEndedIn2021[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBQTCB56ADAgECAgECMAoGCCqGSM49BAMCMBAxDjAMBgNVBAMMBWVuZGVkMB4X\n"
    "DTIwMDEwMTAwMDAwMFoXDTIxMDEwMTAwMDAwMFowEDEOMAwGA1UEAwwFZW5kZWQw\n"
    "WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASQafJUVs5uYxe1nfQMetzki0ebnEQQ\n"
    "76bBFf9vFDGjdNkHhH+P3LV3JFyUY0TWnuebueQx+YhigeBW1vznbqh4ozIwMDAP\n"
    "BgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBQI88jhCUsx4u0bXMPzwr1TwxxIkTAK\n"
    "BggqhkjOPQQDAgNJADBGAiEA2LRBRVJAM3ZAKR3F50+5FmoPzLmh+Q0ZxERCbrLf\n"
    "OtgCIQCpmTtzJxPP3h7SX2mT1mLfP92xiqJiBXC0PM2w8jXwPw==\n"
    "-----END CERTIFICATE-----\n";

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

TEST_F(CertificatesTest, MadeAnewWithoutNamesItKeepsThose) {
  const auto hosts = [this](const std::vector<std::string>& given) {
    EXPECT_TRUE(InitDataDirectory({root_, given, 7411}, SystemClock()).ok());
    return FormerHosts(root_);
  };
  const std::vector<std::string> first = hosts({"lab.example.org", "10.1.2.3", "fe80::1"});
  EXPECT_EQ(first.front(), "lab.example.org");
  EXPECT_THAT(first, testing::IsSupersetOf({"10.1.2.3", "fe80::1", "localhost", "::1"}));
  EXPECT_EQ(hosts({}), first);
  EXPECT_THAT(hosts({"other.example.org"}), testing::Not(testing::Contains("lab.example.org")));
}

TEST_F(CertificatesTest, ItsPortIsThatOfTheInvitations) {
  EXPECT_EQ(FormerPort(root_), 7411);
  for (const char* host : {"lab.example.org", "fe80::1"}) {
    ASSERT_TRUE(InitSecurity(root_, {host}, 7500).ok());
    EXPECT_EQ(FormerPort(root_), 7500);
  }
}

TEST_F(CertificatesTest, AServersEndsNoLaterThanItsAuthoritys) {
  const absl::StatusOr<KeyPair> server =
      MakeServerCertificate({MakeAuthority().value().key, kEndedIn2021}, {"localhost"});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(CertificateEnd(server->certificate), CertificateEnd(kEndedIn2021));
}

TEST_F(CertificatesTest, AnAuthorityThatHasEndedIsToBeReplaced) {
  ASSERT_TRUE(InitSecurity(root_, {"localhost"}, 1).ok());
  constexpr int64_t kYearUs = int64_t{366} * 24 * 60 * 60 * 1'000'000;
  const int64_t now_us = SystemClock().UnixMicros();
  EXPECT_TRUE(LoadSecurity(root_, now_us + 9 * kYearUs).ok());
  EXPECT_THAT(std::string(LoadSecurity(root_, now_us + 11 * kYearUs).status().message()),
              testing::HasSubstr("ca.pem: the authority is no more valid; remove security/"));
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
