// SHA-256 (content addresses, run keys), MD5 (what others publish) and CRC-32 (torn writes).
#ifndef QSWEEP_COMMON_HASH_H_
#define QSWEEP_COMMON_HASH_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qsweep {

enum class HashKind { kMd5, kSha256 };

class Hash {
 public:
  explicit Hash(HashKind kind);
  ~Hash();
  void Update(absl::string_view bytes);
  // Lower-case hexadecimal. The object is spent.
  std::string Hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

class Sha256 : public Hash {
 public:
  Sha256() : Hash(HashKind::kSha256) {}
};

std::string Sha256Hex(absl::string_view bytes);
// NotFound if the file cannot be opened, DataLoss if it cannot be read.
absl::StatusOr<std::string> HexOfFile(const std::string& path, HashKind kind);
inline absl::StatusOr<std::string> Sha256HexOfFile(const std::string& path) {
  return HexOfFile(path, HashKind::kSha256);
}
// 64 lower-case hexadecimal characters: safe as a file name.
bool IsSha256Hex(absl::string_view text);

// The CRC-32 of zlib and PNG. `so_far` is that of the bytes before these.
uint32_t Crc32(absl::string_view bytes, uint32_t so_far = 0);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_HASH_H_
