#include "common/hash.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/escaping.h"
#include "common/file.h"
#include "common/status.h"

namespace qsweep {

struct Hash::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(md); }
};

Hash::Hash(HashKind kind) : context_(std::make_unique<Context>()) {
  const EVP_MD* type = kind == HashKind::kMd5 ? EVP_md5() : EVP_sha256();
  QSWEEP_CHECK(EVP_DigestInit_ex(context_->md, type, nullptr) == 1);
}
Hash::~Hash() = default;

void Hash::Update(absl::string_view bytes) {
  QSWEEP_CHECK(EVP_DigestUpdate(context_->md, bytes.data(), bytes.size()) == 1);
}

std::string Hash::Hex() {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  QSWEEP_CHECK(EVP_DigestFinal_ex(context_->md, reinterpret_cast<unsigned char*>(digest.data()),
                                  &size) == 1);
  digest.resize(size);
  return absl::BytesToHexString(digest);
}

std::string Sha256Hex(absl::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Hex();
}

absl::StatusOr<std::string> HexOfFile(const std::string& path, HashKind kind) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return absl::NotFoundError(ErrnoStatus(errno, path, "open").message());
  Hash hash(kind);
  std::string buffer(1 << 20, '\0');
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::DataLossError(ErrnoStatus(errno, path, "read").message());
    if (n == 0) return hash.Hex();
    hash.Update(absl::string_view(buffer.data(), static_cast<size_t>(n)));
  }
}

bool IsSha256Hex(absl::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

uint32_t Crc32(absl::string_view bytes, uint32_t so_far) {
  if (bytes.empty()) return so_far;  // of a null pointer zlib says 0
  return static_cast<uint32_t>(
      crc32_z(so_far, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace qsweep
