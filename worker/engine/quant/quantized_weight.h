// A frozen weight tensor held in few bits, compatible with bitsandbytes in values, packing and
// safetensors keys: 8 bits (row-wise absmax) or a 4-bit scheme (scheme.h; blocks of the flat
// row-major order, optionally with doubly quantized scales). arXiv 2305.14314, 2208.07339.
#ifndef QSWEEP_WORKER_ENGINE_QUANT_QUANTIZED_WEIGHT_H_
#define QSWEEP_WORKER_ENGINE_QUANT_QUANTIZED_WEIGHT_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/quant/scheme.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/base/safetensors.h"

namespace qsweep::engine {

// Scales of a double quantization that one nested scale is for.
inline constexpr int64_t kNestedBlocksize = 256;

// Immutable once made; safe to read from any thread.
class QuantizedWeight {
 public:
  // `weight`: any float dtype, any strides, finite (else InvalidArgument); 8 bits need a matrix, 4
  // take any shape. `spec` is complete; its `bits` is 4 or 8. `importance`, for schemes that use
  // it: fp32 [in], the mean square of the input's channels. Charged to Account::kWeights, kScales.
  static absl::StatusOr<QuantizedWeight> Quantize(const at::Tensor& weight,
                                                  const v1::Quantization& spec,
                                                  const at::Tensor& importance = {});

  // The same on `device`.
  QuantizedWeight To(at::Device device) const;

  // Writes the weights into `out` (contiguous fp32, bf16 or fp16; [out, in] or the own shape; on
  // any device), with the fastest kernel this CPU has, or on another device in libtorch's own
  // operations. Deterministic; all agree bit for bit. Uses at::parallel_for.
  void DequantizeInto(const at::Tensor& out) const;
  at::Tensor Dequantize(at::ScalarType dtype) const;

  // As a matrix: the first dimension, and all others.
  int64_t out_features() const { return shape_[0]; }
  int64_t in_features() const { return elements_ / shape_[0]; }
  // "int8", or the scheme as files name it.
  const std::string& stored_as() const { return stored_as_; }
  int64_t payload_bytes() const;  // codes
  int64_t scale_bytes() const;    // absmax or SCB, nested scales, offset; code tables not counted
  double bits_per_weight() const;
  // Of "int8": W = codes · row_absmax / 127; int8 [out, in] and fp32 [out].
  const at::Tensor& codes() const { return payload_; }
  const at::Tensor& row_absmax() const { return absmax_; }

  // Against the matrix it was made from.
  v1::LayerError Error(const at::Tensor& weight, const std::string& layer) const;

  // bitsandbytes' keys, X = `name` (which ends in ".weight"): X, X.absmax, X.quant_map, ... or X,
  // SCB.
  void Save(const std::string& name, TensorFile* file) const;
  static absl::StatusOr<QuantizedWeight> Load(const TensorFile& file, const std::string& name);

 private:
  QuantizedWeight() = default;
  void SetShape(at::IntArrayRef shape);
  // Make payload_ and absmax_ of the values; shape and block size are set.
  void QuantizeRows(const float* values);
  void QuantizeBlocks(const float* values, const float* importance, const Scheme& scheme);
  static absl::StatusOr<QuantizedWeight> LoadRows(const TensorFile& file, const std::string& name);
  static absl::StatusOr<QuantizedWeight> LoadBlocks(const TensorFile& file, const std::string& name,
                                                    const std::string& state_name,
                                                    const std::string& quant_type);
  // Replaces absmax_ by the three members of double quantization.
  void QuantizeScales();
  // fp32 [blocks]; under double quantization expanded anew.
  at::Tensor Scales() const;
  // fp32, on a device that is not the CPU.
  at::Tensor ExpandOnDevice() const;

  std::string stored_as_;
  const Scheme* scheme_ = nullptr;  // of the codes; null for int8
  std::vector<int64_t> shape_;
  int64_t elements_ = 0, blocksize_ = 0;
  at::Tensor payload_;  // 4-bit: uint8 [(elements+1)/2, 1]; int8: int8 [out, in]
  at::Tensor absmax_;   // fp32 [blocks] or int8's SCB [out]; undefined under double quantization
  at::Tensor absmax_codes_;   // double quantization: uint8 [blocks]
  at::Tensor nested_absmax_;  // fp32 [ceil(blocks / 256)]
  float nested_offset_ = 0;
  // What ExpandOnDevice looks codes up in, there; undefined on the CPU.
  at::Tensor pairs_, dynamic_map_;
};

// MODULE of MODULE.weight.
std::string ModuleOf(const std::string& name);
// The tensors of a file that are held so, sorted: X of bitsandbytes' keys.
std::vector<std::string> QuantizedNames(const TensorFile& file);
// What stands beside X = `name` in the file.
std::vector<std::string> QuantizedKeys(const TensorFile& file, const std::string& name);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_QUANT_QUANTIZED_WEIGHT_H_
