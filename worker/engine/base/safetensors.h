// The safetensors format: 8 bytes little-endian header length, a JSON header, then the bytes.
// https://github.com/huggingface/safetensors#format
#ifndef QSWEEP_WORKER_ENGINE_BASE_SAFETENSORS_H_
#define QSWEEP_WORKER_ENGINE_BASE_SAFETENSORS_H_

#include <ATen/ATen.h>

#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qsweep::engine {

struct TensorFile {
  std::map<std::string, at::Tensor> tensors;    // by name; contiguous, on the CPU
  std::map<std::string, std::string> metadata;  // __metadata__
};

// Checks everything it reads: header at most kMaxSafetensorsHeaderBytes, offsets inside the file,
// no overlap or gap, sizes that agree with shape and dtype (F64 F32 F16 BF16 I64 I32 I16 I8 U8
// BOOL); DataLoss says what is wrong. The tensors own their memory, charged to the caller's
// AccountScope; OutOfMemory is thrown.
absl::StatusOr<TensorFile> ReadTensorFile(const std::string& path);

// The same for one tensor after the other, as they lie in the file: `take` is given each and may
// keep it; its error ends the reading. `metadata` is filled before.
using TakeTensor = std::function<absl::Status(const std::string& name, const at::Tensor& tensor)>;
absl::Status ReadTensors(const std::string& path, const TakeTensor& take,
                         std::map<std::string, std::string>* metadata);

// Atomic (temp, fsync, rename). Tensors lie sorted by element size (widest first, so all are
// aligned), then name: equal content gives equal bytes.
absl::Status WriteTensorFile(const std::string& path, const TensorFile& file);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_BASE_SAFETENSORS_H_
