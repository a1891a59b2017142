#include "worker/engine/quant/quantized_weight.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "common/quant/codes.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/quant/dequantize.h"
#include "worker/engine/quant/tensor_dequantize.h"

namespace qsweep::engine {
namespace {

// Elements that a thread takes at a time: 64 KiB of bf16, well inside its L2 cache.
constexpr int64_t kGrain = 32768;

// One block: codes two a byte, the first in the high nibble. Returns its scale.
float QuantizeBlock(const float* values, const float* importance, int64_t count,
                    const Scheme& scheme, uint8_t* packed) {
  const float scale = scheme.scale(values, importance, count);
  const float factor = InverseScale(scale);
  for (int64_t i = 0; i < count; i += 2) {
    const uint8_t high = scheme.code(values[i] * factor);
    const uint8_t low = scheme.code(i + 1 < count ? values[i + 1] * factor : 0.0f);
    packed[i / 2] = static_cast<uint8_t>(high << 4 | low);
  }
  return scale;
}

float QuantizeRow(const float* values, int64_t count, int8_t* codes) {
  const float absmax = AbsMax(values, nullptr, count);
  const float ratio = 127.0f / absmax;
  const float factor = std::isfinite(ratio) ? ratio : 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    codes[i] = static_cast<int8_t>(std::nearbyint(values[i] * factor));  // half to even
  }
  return absmax;
}

absl::StatusOr<OutType> ToOutType(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return OutType::kFloat32;
    case at::kBFloat16:
      return OutType::kBFloat16;
    case at::kHalf:
      return OutType::kFloat16;
    default:
      return absl::InvalidArgumentError("fp32, bf16 or fp16");
  }
}

at::Tensor Empty(at::IntArrayRef shape, at::ScalarType type, Account account) {
  const AccountScope scope(account);
  return at::empty(shape, type);
}

}  // namespace

absl::StatusOr<QuantizedWeight> QuantizedWeight::Quantize(const at::Tensor& weight,
                                                          const v1::Quantization& spec,
                                                          const at::Tensor& importance) {
  if (weight.dim() == 0 || !weight.is_floating_point() || weight.numel() == 0) {
    return absl::InvalidArgumentError("only a tensor of floating point numbers can be quantized");
  }
  const at::Tensor flat = weight.detach().to(at::kCPU, at::kFloat).contiguous();
  if (!flat.isfinite().all().item<bool>()) {
    return absl::InvalidArgumentError("holds a number that is not finite: the weights are damaged");
  }
  QuantizedWeight result;
  result.SetShape(weight.sizes());
  if (spec.bits() == 8) {
    if (weight.dim() != 2) return absl::InvalidArgumentError("8 bits are for matrices");
    result.stored_as_ = "int8";
    result.QuantizeRows(flat.data_ptr<float>());
    return result;
  }
  const Scheme* const scheme = FindScheme(spec.quant_type());
  if (spec.bits() != 4 || scheme == nullptr || spec.blocksize() < 32 ||
      spec.blocksize() % 32 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("no quantization to ", spec.bits(), " bits, ",
                                                   spec.quant_type(), ", blocksize ",
                                                   spec.blocksize()));
  }
  QSWEEP_CHECK(!importance.defined() || (importance.scalar_type() == at::kFloat &&
                                         importance.numel() == result.in_features()));
  result.stored_as_ = scheme->stored_as;
  result.scheme_ = scheme;
  result.blocksize_ = spec.blocksize();
  const at::Tensor by_element =
      importance.defined() ? importance.flatten().expand({result.out_features(), -1}).contiguous()
                           : at::Tensor();
  result.QuantizeBlocks(flat.data_ptr<float>(),
                        importance.defined() ? by_element.data_ptr<float>() : nullptr, *scheme);
  if (spec.double_quant()) result.QuantizeScales();
  return result;
}

void QuantizedWeight::SetShape(at::IntArrayRef shape) {
  shape_ = shape.vec();
  elements_ = 1;
  for (int64_t size : shape_) elements_ *= size;
}

void QuantizedWeight::QuantizeRows(const float* values) {
  const int64_t out = out_features(), in = in_features();
  payload_ = Empty({out, in}, at::kChar, Account::kWeights);
  absmax_ = Empty({out}, at::kFloat, Account::kScales);
  int8_t* const codes = payload_.data_ptr<int8_t>();
  float* const absmax = absmax_.data_ptr<float>();
  const auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      absmax[row] = QuantizeRow(values + row * in, in, codes + row * in);
    }
  };
  at::parallel_for(0, out, std::max<int64_t>(1, kGrain / in), rows);
}

void QuantizedWeight::QuantizeBlocks(const float* values, const float* importance,
                                     const Scheme& scheme) {
  const int64_t blocks = (elements_ + blocksize_ - 1) / blocksize_;
  payload_ = Empty({(elements_ + 1) / 2, 1}, at::kByte, Account::kWeights);
  absmax_ = Empty({blocks}, at::kFloat, Account::kScales);
  uint8_t* const packed = payload_.data_ptr<uint8_t>();
  float* const absmax = absmax_.data_ptr<float>();
  const auto some_blocks = [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * blocksize_;
      absmax[block] =
          QuantizeBlock(values + first, importance ? importance + first : nullptr,
                        std::min(blocksize_, elements_ - first), scheme, packed + first / 2);
    }
  };
  at::parallel_for(0, blocks, std::max<int64_t>(1, kGrain / blocksize_), some_blocks);
}

void QuantizedWeight::QuantizeScales() {
  const int64_t blocks = absmax_.numel(),
                groups = (blocks + kNestedBlocksize - 1) / kNestedBlocksize;
  nested_offset_ = static_cast<float>(absmax_.to(at::kDouble).mean().item<double>());
  const at::Tensor centred = absmax_ - nested_offset_;
  const float* const values = centred.data_ptr<float>();
  absmax_codes_ = Empty({blocks}, at::kByte, Account::kScales);
  nested_absmax_ = Empty({groups}, at::kFloat, Account::kScales);
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t begin = group * kNestedBlocksize,
                  end = std::min(begin + kNestedBlocksize, blocks);
    const float absmax = AbsMax(values + begin, nullptr, end - begin);
    const float factor = InverseScale(absmax);
    nested_absmax_.data_ptr<float>()[group] = absmax;
    for (int64_t i = begin; i < end; ++i) {
      absmax_codes_.data_ptr<uint8_t>()[i] = DynamicCode(values[i] * factor);
    }
  }
  absmax_.reset();
}

at::Tensor QuantizedWeight::Scales() const {
  if (absmax_.defined()) return absmax_;
  const int64_t blocks = absmax_codes_.numel();
  at::Tensor scales = Empty({blocks}, at::kFloat, Account::kWorkspace);
  const uint8_t* const codes = absmax_codes_.data_ptr<uint8_t>();
  const float* const nested = nested_absmax_.data_ptr<float>();
  const std::array<float, 256>& map = DynamicMap();
  float* const to = scales.data_ptr<float>();
  for (int64_t i = 0; i < blocks; ++i) {
    const float product = map[codes[i]] * nested[i / kNestedBlocksize];
    to[i] = product + nested_offset_;
  }
  return scales;
}

QuantizedWeight QuantizedWeight::To(at::Device device) const {
  QuantizedWeight result = *this;
  if (payload_.device() == device) return result;
  const auto move = [device](at::Tensor& t, Account account) {
    const AccountScope scope(account);
    if (t.defined()) t = t.to(device);
  };
  move(result.payload_, Account::kWeights);
  move(result.absmax_, Account::kScales);
  move(result.absmax_codes_, Account::kScales);
  move(result.nested_absmax_, Account::kScales);
  const AccountScope scope(Account::kScales);
  if (scheme_ != nullptr) result.pairs_ = PairTable(scheme_->values, device);
  if (absmax_codes_.defined()) {
    const std::array<float, 256>& map = DynamicMap();
    result.dynamic_map_ = at::tensor(at::ArrayRef<float>(map.data(), map.size())).to(device);
  }
  return result;
}

at::Tensor QuantizedWeight::ExpandOnDevice() const {
  if (scheme_ == nullptr) return ExpandEightBit(payload_, absmax_);
  const at::Tensor scales = absmax_.defined()
                                ? absmax_
                                : ExpandScales(absmax_codes_, dynamic_map_, nested_absmax_,
                                               kNestedBlocksize, nested_offset_);
  return ExpandFourBit(payload_, scales, pairs_, elements_, blocksize_);
}

void QuantizedWeight::DequantizeInto(const at::Tensor& out) const {
  const absl::StatusOr<OutType> type = ToOutType(out.scalar_type());
  QSWEEP_CHECK(type.ok() && out.is_contiguous() && out.dim() > 0 && out.size(0) == out_features() &&
               out.numel() == elements_);
  if (!payload_.is_cpu()) {
    out.copy_(ExpandOnDevice().view(out.sizes()));
    return;
  }
  if (!out.is_cpu()) {
    out.copy_(Dequantize(out.scalar_type()).view(out.sizes()));
    return;
  }
  const DequantizeKernels& kernels = UsableDequantizeKernels().back();
  const int type_index = static_cast<int>(*type);
  char* const to = static_cast<char*>(out.data_ptr());
  const int64_t element = out.element_size();
  if (scheme_ == nullptr) {
    const int64_t in = in_features();
    const int8_t* const codes = payload_.data_ptr<int8_t>();
    const float* const scales = absmax_.data_ptr<float>();
    const auto rows = [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        kernels.eight_bit[type_index](codes + row * in, scales[row], in, to + row * in * element);
      }
    };
    at::parallel_for(0, out_features(), std::max<int64_t>(1, kGrain / in), rows);
    return;
  }
  const at::Tensor absmax = Scales();
  const float* const scales = absmax.data_ptr<float>();
  const uint8_t* const packed = payload_.data_ptr<uint8_t>();
  const float* const table = scheme_->values.data();
  const auto blocks = [&](int64_t begin, int64_t end) {
    const int64_t first = begin * blocksize_, last = std::min(end * blocksize_, elements_);
    kernels.four_bit[type_index](packed + first / 2, scales + begin, table, last - first,
                                 blocksize_, to + first * element);
  };
  at::parallel_for(0, absmax.numel(), std::max<int64_t>(1, kGrain / blocksize_), blocks);
}

at::Tensor QuantizedWeight::Dequantize(at::ScalarType dtype) const {
  const at::Tensor out = at::empty(shape_, payload_.options().dtype(dtype));
  DequantizeInto(out);
  return out;
}

int64_t QuantizedWeight::payload_bytes() const { return static_cast<int64_t>(payload_.nbytes()); }

int64_t QuantizedWeight::scale_bytes() const {
  if (absmax_.defined()) return static_cast<int64_t>(absmax_.nbytes());
  return static_cast<int64_t>(absmax_codes_.nbytes() + nested_absmax_.nbytes() +
                              sizeof nested_offset_);
}

double QuantizedWeight::bits_per_weight() const {
  return 8.0 * static_cast<double>(payload_bytes() + scale_bytes()) /
         static_cast<double>(elements_);
}

v1::LayerError QuantizedWeight::Error(const at::Tensor& weight, const std::string& layer) const {
  const at::Tensor exact = weight.detach().to(at::kCPU, at::kDouble);
  const at::Tensor error = Dequantize(at::kFloat).to(at::kDouble) - exact;
  const double mse = error.square().mean().item<double>();
  const double power = exact.square().mean().item<double>();
  v1::LayerError result;
  result.set_layer(layer);
  result.set_mse(mse);
  result.set_max_abs_error(error.abs().max().item<double>());
  if (mse > 0 && power > 0) {  // else there is no ratio to speak of, and 0 stands
    result.set_relative_mse(mse / power);
    result.set_sqnr_db(10 * std::log10(power / mse));
  }
  return result;
}

}  // namespace qsweep::engine
