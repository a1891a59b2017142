// A frozen weight matrix held in few bits, compatible with bitsandbytes in values, packing and
// safetensors keys. Formats: "int8" (row-wise absmax), "nf4", "fp4" (blockwise absmax over the flat
// row-major order, optionally with doubly quantized scales). arXiv 2305.14314, 2208.07339.
#ifndef QSWEEP_WORKER_ENGINE_QUANT_QUANTIZED_WEIGHT_H_
#define QSWEEP_WORKER_ENGINE_QUANT_QUANTIZED_WEIGHT_H_

#include <torch/torch.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/base/safetensors.h"

namespace qsweep::engine {

// Immutable once made; safe to read from any thread.
class QuantizedWeight {
 public:
  // `weight`: [out, in], any float dtype, any strides, finite (else InvalidArgument). `spec` is
  // complete; its `bits` is 4 or 8. Charged to Account::kWeights and kScales.
  static absl::StatusOr<QuantizedWeight> Quantize(const at::Tensor& weight,
                                                  const v1::Quantization& spec);

  // Writes the [out, in] matrix into `out` (contiguous fp32, bf16 or fp16 of that shape), with the
  // fastest kernel this CPU has. Deterministic; all kernels agree bit for bit. Uses
  // at::parallel_for.
  void DequantizeInto(at::Tensor& out) const;
  at::Tensor Dequantize(at::ScalarType dtype) const;

  int64_t out_features() const { return out_features_; }
  int64_t in_features() const { return in_features_; }
  int64_t payload_bytes() const;  // codes
  int64_t scale_bytes() const;    // absmax or SCB, nested scales, offset; code tables not counted
  double bits_per_weight() const;

  // Against the matrix it was made from.
  v1::LayerError Error(const at::Tensor& weight, const std::string& layer) const;

  // bitsandbytes' keys, X = `name` (which ends in ".weight"): X, X.absmax, X.quant_map, ... or X,
  // SCB.
  void Save(const std::string& name, TensorFile* file) const;
  static absl::StatusOr<QuantizedWeight> Load(const TensorFile& file, const std::string& name);

 private:
  QuantizedWeight() = default;
  // Make payload_ and absmax_ of the [out, in] matrix; the type, the sizes and the block size are
  // set.
  void QuantizeRows(const float* values);
  void QuantizeBlocks(const float* values);
  // Replaces absmax_ by the three members of double quantization.
  void QuantizeScales();
  // fp32 [blocks]; under double quantization expanded anew.
  at::Tensor Scales() const;

  std::string quant_type_;  // int8, nf4, fp4
  int64_t out_features_ = 0, in_features_ = 0, blocksize_ = 0;
  at::Tensor payload_;  // 4-bit: uint8 [(out*in+1)/2, 1]; int8: int8 [out, in]
  at::Tensor absmax_;   // fp32 [blocks] or int8's SCB [out]; undefined under double quantization
  at::Tensor absmax_codes_;   // double quantization: uint8 [blocks]
  at::Tensor nested_absmax_;  // fp32 [ceil(blocks / 256)]
  float nested_offset_ = 0;
};

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_QUANT_QUANTIZED_WEIGHT_H_
