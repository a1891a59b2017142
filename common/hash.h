// SHA-256 (content addresses, run keys) and CRC-32 (torn writes).
#ifndef QSWEEP_COMMON_HASH_H_
#define QSWEEP_COMMON_HASH_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qsweep {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void Update(absl::string_view bytes);
  // Lower-case hexadecimal, 64 characters. The object is spent.
  std::string Hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string Sha256Hex(absl::string_view bytes);
absl::StatusOr<std::string> Sha256HexOfFile(const std::string& path);
// 64 lower-case hexadecimal characters: safe as a file name.
bool IsSha256Hex(absl::string_view text);

// The CRC-32 of zlib and PNG.
uint32_t Crc32(absl::string_view bytes);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_HASH_H_
