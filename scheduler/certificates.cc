#include "scheduler/certificates.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <time.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status.h"

namespace qsweep {
namespace {

constexpr int64_t kDay = 24 * 60 * 60;
constexpr int64_t kLifetime = 3653 * kDay;
constexpr char kAuthorityName[] = "qsweep private authority";
constexpr char kServerName[] = "qsweep scheduler";  // shown only; hosts are alternative names

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Names = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;

absl::Status OpenSslError(absl::string_view what) {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  ERR_clear_error();
  return absl::InternalError(absl::StrCat(what, ": ", text));
}

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

Certificate ParseCertificate(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

Key ParseKey(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
}

bool AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool SetName(X509_NAME* name, const std::string& common_name) {
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(common_name.data()),
                                    static_cast<int>(common_name.size()), -1, 0) == 1;
}

// Everything but extensions and signature. It begins a day ago: clocks differ.
Certificate Begin(EVP_PKEY* key, const std::string& common_name) {
  Certificate certificate(X509_new());
  uint64_t serial = 0;
  const bool good =
      RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1 &&
      X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
      ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1) == 1 &&
      X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kDay) != nullptr &&
      X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kLifetime) != nullptr &&
      X509_set_pubkey(certificate.get(), key) == 1 &&
      SetName(X509_get_subject_name(certificate.get()), common_name);
  return good ? std::move(certificate) : nullptr;
}

absl::StatusOr<KeyPair> ToPem(EVP_PKEY* key, X509* certificate) {
  const Bio key_bio(BIO_new(BIO_s_mem())), certificate_bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PrivateKey(key_bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
      PEM_write_bio_X509(certificate_bio.get(), certificate) != 1) {
    return OpenSslError("write a certificate");
  }
  return KeyPair{Text(key_bio.get()), Text(certificate_bio.get())};
}

std::string AlternativeName(const std::string& host) {
  unsigned char address[16];
  const bool ip = ::inet_pton(AF_INET, host.c_str(), address) == 1 ||
                  ::inet_pton(AF_INET6, host.c_str(), address) == 1;
  return absl::StrCat(ip ? "IP:" : "DNS:", host);
}

}  // namespace

absl::Status CheckHost(const std::string& host) {
  unsigned char address[16];
  const bool name = !host.empty() && host.size() <= 253 &&
                    std::all_of(host.begin(), host.end(), [](unsigned char c) {
                      return absl::ascii_isalnum(c) || c == '.' || c == '-';
                    });
  if (name || ::inet_pton(AF_INET6, host.c_str(), address) == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("host '", host,
                   "': must be a host name of letters, digits, '.' and '-', at most 253, or an IP "
                   "address, without a port (--port)"));
}

absl::StatusOr<KeyPair> MakeAuthority() {
  const Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpenSslError("make a key");
  const Certificate certificate = Begin(key.get(), kAuthorityName);
  X509* const x = certificate.get();
  if (x == nullptr || !SetName(X509_get_issuer_name(x), kAuthorityName) ||
      !AddExtension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !AddExtension(x, x, NID_key_usage, "critical,keyCertSign") ||
      !AddExtension(x, x, NID_subject_key_identifier, "hash") ||
      X509_sign(x, key.get(), EVP_sha256()) == 0) {
    return OpenSslError("make an authority");
  }
  return ToPem(key.get(), x);
}

absl::StatusOr<KeyPair> MakeServerCertificate(const KeyPair& authority,
                                              const std::vector<std::string>& hosts) {
  const Key authority_key = ParseKey(authority.key);
  const Certificate issuer = ParseCertificate(authority.certificate);
  const Key key(EVP_EC_gen("P-256"));
  if (authority_key == nullptr || issuer == nullptr || key == nullptr) {
    return OpenSslError("read the authority");
  }
  for (const std::string& host : hosts) RETURN_IF_ERROR(CheckHost(host));
  const Certificate certificate = Begin(key.get(), kServerName);
  X509* const x = certificate.get();
  std::vector<std::string> names;
  for (const std::string& host : hosts) names.push_back(AlternativeName(host));
  const ASN1_TIME* const authority_end = X509_get0_notAfter(issuer.get());
  // One that outlived its authority would look good and be refused.
  if (x != nullptr && ASN1_TIME_compare(authority_end, X509_get0_notAfter(x)) < 0 &&
      X509_set1_notAfter(x, authority_end) != 1) {
    return OpenSslError("make a server's certificate");
  }
  if (x == nullptr || X509_set_issuer_name(x, X509_get_subject_name(issuer.get())) != 1 ||
      !AddExtension(x, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !AddExtension(x, issuer.get(), NID_key_usage, "critical,digitalSignature") ||
      !AddExtension(x, issuer.get(), NID_ext_key_usage, "serverAuth") ||
      !AddExtension(x, issuer.get(), NID_authority_key_identifier, "keyid:always") ||
      !AddExtension(x, issuer.get(), NID_subject_alt_name, absl::StrJoin(names, ",")) ||
      X509_sign(x, authority_key.get(), EVP_sha256()) == 0) {
    return OpenSslError("make a server's certificate");
  }
  return ToPem(key.get(), x);
}

std::vector<std::string> HostsOf(const std::string& certificate) {
  std::vector<std::string> hosts;
  const Certificate x = ParseCertificate(certificate);
  if (x == nullptr) return hosts;
  const Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(x.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const auto* name = static_cast<const ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
    const unsigned char* data = ASN1_STRING_get0_data(name);
    const int size = ASN1_STRING_length(name);
    char text[INET6_ADDRSTRLEN];
    if (type == GEN_DNS) {
      hosts.emplace_back(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    } else if (type == GEN_IPADD && (size == 4 || size == 16) &&
               ::inet_ntop(size == 4 ? AF_INET : AF_INET6, data, text, sizeof text) != nullptr) {
      hosts.emplace_back(text);
    }
  }
  return hosts;
}

bool IsPair(const KeyPair& pair) {
  const Certificate certificate = ParseCertificate(pair.certificate);
  const Key key = ParseKey(pair.key);
  return certificate != nullptr && key != nullptr &&
         X509_check_private_key(certificate.get(), key.get()) == 1;
}

int64_t CertificateEnd(const std::string& certificate) {
  const Certificate x = ParseCertificate(certificate);
  tm end{};
  if (x == nullptr || ASN1_TIME_to_tm(X509_get0_notAfter(x.get()), &end) != 1) return 0;
  return static_cast<int64_t>(::timegm(&end));
}

}  // namespace qsweep
