#include "common/credentials.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/proto_json.h"
#include "common/status.h"

namespace qsweep {
namespace {

constexpr char kPrefix[] = "qsweep1-";
constexpr size_t kSumBytes = 4;  // of the hash, behind the message: a line cut off is noticed
constexpr size_t kSecretBytes = 32;
constexpr int64_t kMaxFileBytes = 1 << 20;

absl::string_view Sum(absl::string_view hash) { return hash.substr(0, 2 * kSumBytes); }

}  // namespace

std::string FormatInvitation(const v1::Credentials& credentials) {
  const std::string bytes = credentials.SerializeAsString();
  return absl::StrCat(kPrefix, absl::WebSafeBase64Escape(bytes), ".", Sum(Sha256Hex(bytes)));
}

absl::StatusOr<v1::Credentials> ParseInvitation(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  std::string bytes;
  v1::Credentials credentials;
  const size_t dot = text.rfind('.');
  if (!absl::ConsumePrefix(&text, kPrefix) || dot == absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("an invitation begins with ", kPrefix, " and is copied whole"));
  }
  const size_t length = dot - (sizeof kPrefix - 1);
  if (!absl::WebSafeBase64Unescape(text.substr(0, length), &bytes) ||
      Sum(Sha256Hex(bytes)) != text.substr(length + 1) || !credentials.ParseFromString(bytes)) {
    return absl::InvalidArgumentError(
        "the invitation is damaged; copy it whole, to its last letter");
  }
  return credentials;
}

absl::Status SaveCredentials(const std::string& path, const v1::Credentials& credentials) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  if (!directory.empty()) RETURN_IF_ERROR(MakeDirectories(directory));
  return WritePrivateFile(path, ToJson(credentials) + "\n");
}

absl::StatusOr<v1::Credentials> LoadCredentials(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, path, "open");
  if ((info.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path,
                     ": other users can read this secret; chmod 600 it, and revoke its token "
                     "if they may have"));
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  v1::Credentials credentials;
  if (FromJson(text, &credentials).ok()) return credentials;
  return absl::InvalidArgumentError(
      path +
      ": damaged; let yourself in again with an invitation, by qctl login or qworker --join");
}

std::string UserCredentialsPath(const std::string& address) {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  const std::string base = config != nullptr && *config != '\0'
                               ? std::string(config)
                               : JoinPath(home == nullptr ? "" : home, ".config");
  // An address may come from an invitation: it names a file, never a directory.
  return JoinPath(base,
                  absl::StrCat("qsweep/", absl::StrReplaceAll(address, {{"/", "_"}}), ".json"));
}

std::string NewSecret() {
  std::string bytes(kSecretBytes, '\0');
  QSWEEP_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), kSecretBytes) == 1);
  return absl::WebSafeBase64Escape(bytes);
}

bool SecretsEqual(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace qsweep
