// Whole files of weights: quantized module by module, and expanded again.
#ifndef QSWEEP_WORKER_ENGINE_QUANT_WEIGHT_FILE_H_
#define QSWEEP_WORKER_ENGINE_QUANT_WEIGHT_FILE_H_

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/spec.pb.h"
#include "worker/engine/base/safetensors.h"

namespace qsweep::engine {

// InvalidArgument naming a pattern of skip_modules that matches no module of the file.
absl::Status CheckSkips(const TensorFile& file, const v1::Quantization& spec);

// Quantizes every MODULE.weight of two dimensions or more (8 bits: of two) that holds floating
// point numbers and is not one of spec.skip_modules; the rest is copied. `facts` gets layers,
// bytes, bits per weight and the error of each layer. InvalidArgument if nothing is left to
// quantize, or naming a tensor that cannot be.
absl::StatusOr<TensorFile> QuantizeFile(const TensorFile& file, const v1::Quantization& spec,
                                        v1::QuantizationFacts* facts);

// The same file with every quantized tensor expanded to `dtype` (fp32, bf16 or fp16).
absl::StatusOr<TensorFile> DequantizeFile(const TensorFile& file, at::ScalarType dtype);

// A file of weights, quantized ones expanded to fp32. Charged to Account::kWeights, for models
// share what they hold in fp32. Errors name the file.
absl::StatusOr<TensorFile> ReadWeightFile(const std::string& path);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_QUANT_WEIGHT_FILE_H_
