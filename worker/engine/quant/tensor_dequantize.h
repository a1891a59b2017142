// dequantize.h for devices whose memory our kernels do not reach (CUDA), in libtorch's own
// operations: the same numbers to the bit, fp32. All arguments lie on the device.
#ifndef QSWEEP_WORKER_ENGINE_QUANT_TENSOR_DEQUANTIZE_H_
#define QSWEEP_WORKER_ENGINE_QUANT_TENSOR_DEQUANTIZE_H_

#include <ATen/ATen.h>

#include <array>
#include <cstdint>

namespace qsweep::engine {

// For ExpandFourBit: fp32 [256, 2], the values of both codes of a byte.
at::Tensor PairTable(const std::array<float, 16>& values, at::Device device);

// packed uint8 [(elements + 1) / 2, 1], scales fp32 [blocks] -> fp32 [elements].
at::Tensor ExpandFourBit(const at::Tensor& packed, const at::Tensor& scales,
                         const at::Tensor& pairs, int64_t elements, int64_t blocksize);
// codes int8 [out, in], absmax fp32 [out] -> fp32 [out, in].
at::Tensor ExpandEightBit(const at::Tensor& codes, const at::Tensor& absmax);
// Of double quantization: codes uint8 [blocks], map fp32 [256], nested fp32 [groups] -> fp32
// [blocks].
at::Tensor ExpandScales(const at::Tensor& codes, const at::Tensor& map, const at::Tensor& nested,
                        int64_t nested_blocksize, float offset);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_QUANT_TENSOR_DEQUANTIZE_H_
