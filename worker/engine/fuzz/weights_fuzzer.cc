// A safetensors file of any bytes: an error, or tensors no larger than the file, whose quantized
// ones can be expanded or are refused.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status.h"
#include "worker/engine/base/safetensors.h"
#include "worker/engine/quant/quantized_weight.h"
#include "worker/engine/quant/weight_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const qsweep::FileDescriptor fd(::memfd_create("weights.safetensors", MFD_CLOEXEC));
  const std::string path = absl::StrCat("/proc/self/fd/", fd.get());
  QSWEEP_CHECK(qsweep::WriteAll(fd.get(), {reinterpret_cast<const char*>(data), size}, path).ok());
  const auto file = qsweep::engine::ReadTensorFile(path);
  if (!file.ok()) return 0;
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : file->tensors) bytes += tensor.nbytes();
  QSWEEP_CHECK(bytes <= size);
  const auto expanded = qsweep::engine::DequantizeFile(*file, at::kFloat);
  if (!expanded.ok()) return 0;
  QSWEEP_CHECK(qsweep::engine::QuantizedNames(*expanded).empty());
  return 0;
}
