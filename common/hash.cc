#include "common/hash.h"

#include <openssl/evp.h>
#include <zlib.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "absl/strings/escaping.h"
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
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  Hash hash(kind);
  std::vector<char> buffer(1 << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    hash.Update(absl::string_view(buffer.data(), static_cast<size_t>(in.gcount())));
  }
  if (in.bad()) return absl::DataLossError(absl::StrCat(path, ": reading failed"));
  return hash.Hex();
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
