#include "worker/engine/quant/tensor_dequantize.h"

namespace qsweep::engine {
namespace {

// values · scales, scales[i] for the elements of block i; the last block may be short.
at::Tensor ScaleBlocks(const at::Tensor& values, const at::Tensor& scales, int64_t blocksize) {
  const int64_t elements = values.numel(), missing = scales.numel() * blocksize - elements;
  const at::Tensor whole = missing == 0 ? values : at::constant_pad_nd(values, {0, missing});
  return (whole.view({-1, blocksize}) * scales.unsqueeze(1)).flatten().slice(0, 0, elements);
}

}  // namespace

at::Tensor PairTable(const std::array<float, 16>& values, at::Device device) {
  const at::Tensor pairs = at::empty({256, 2}, at::kFloat);
  float* to = pairs.data_ptr<float>();
  for (const float high : values) {
    for (const float low : values) {
      *to++ = high;
      *to++ = low;
    }
  }
  return pairs.to(device);
}

at::Tensor ExpandFourBit(const at::Tensor& packed, const at::Tensor& scales,
                         const at::Tensor& pairs, int64_t elements, int64_t blocksize) {
  const at::Tensor values = pairs.index_select(0, packed.flatten().to(at::kInt));
  return ScaleBlocks(values.flatten().slice(0, 0, elements), scales, blocksize);
}

at::Tensor ExpandEightBit(const at::Tensor& codes, const at::Tensor& absmax) {
  return codes.to(at::kFloat) * absmax.unsqueeze(1) * (1.0f / 127);
}

at::Tensor ExpandScales(const at::Tensor& codes, const at::Tensor& map, const at::Tensor& nested,
                        int64_t nested_blocksize, float offset) {
  const at::Tensor centred = map.index_select(0, codes.to(at::kInt));
  return ScaleBlocks(centred, nested, nested_blocksize) + offset;
}

}  // namespace qsweep::engine
