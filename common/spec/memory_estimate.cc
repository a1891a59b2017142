#include "common/spec/memory_estimate.h"

#include <algorithm>

#include "common/spec/datasets.h"
#include "common/spec/models.h"
#include "common/spec/modules.h"
#include "common/spec/pairs.h"
#include "common/status.h"

// peak = process + dataset + frozen weights + the larger of what loading and what training needs,
// in bytes: the weights file's tensors in fp32, before they are quantized; or batches + scratch
// panel + trainable state + activations.
//
// Notation: D width, T = (S / P)^2 + 1 tokens for images of S x S in patches of P, e = 2 bytes an
// element of the matrix products under mixed precision (bf16 or fp16), else 4.

namespace qsweep {
namespace {

constexpr int64_t kFloat = 4;
// libtorch's code and tables, thread stacks, what oneDNN and the allocator keep: resident beyond
// the live tensors. Measured 206 MB with 2 threads.
constexpr int64_t kProcessBytes = 256 << 20;

int64_t ProductBytes(const v1::ExperimentSpec& spec) {
  return spec.training().use_mixed_precision() && spec.quantization().compute_dtype() != "float32"
             ? 2
             : kFloat;
}

// Both splits, as stored.
int64_t DatasetBytes(const v1::Dataset& spec) {
  const DatasetShape* dataset = FindDataset(spec.name());
  if (dataset == nullptr) return 0;
  const ImageCounts images = ImagesOf(spec);
  return dataset->bytes_per_image * (images.train + images.evaluation);
}

// The effective batch, decoded: one in use, two ahead.
int64_t BatchBytes(const v1::ExperimentSpec& spec, int64_t size) {
  return 3 * int64_t{spec.dataset().batch_size()} * 3 * size * size * ProductBytes(spec);
}

// Codes and scales (arXiv 2305.14314, section 3): int8 n + 4 a row; 4-bit n / 2 + 4 a block, or
// with double quantization 1 a block and 4 every 256 blocks. Under bits: auto the layers use their
// budget.
int64_t LinearBytes(const ModuleShape& module, const v1::ExperimentSpec& spec) {
  const int64_t n = module.out * module.in;
  const v1::Quantization q = QuantizationOf(module.name, spec.quantization());
  if (q.bits() == 0) return n * ProductBytes(spec);
  if (q.bits() == 8) return n + module.out * kFloat;
  if (spec.quantization().bits() < 0) {
    return static_cast<int64_t>(static_cast<double>(n) * q.bits_budget() / 8);
  }
  const int64_t blocks = n / q.blocksize() + 1;
  return n / 2 + (q.double_quant() ? blocks + (blocks / 256 + 1) * kFloat : blocks * kFloat);
}

// An element of a trainable tensor: value, gradient, AdamW's two moments, the best value so far;
// fp32.
constexpr int64_t kTrainableBytes = 5 * kFloat;

struct Parameters {
  int64_t elements = 0;   // of the model
  int64_t trainable = 0;  // elements, adapters too
  int64_t frozen_bytes = 0;
};

// Beside the linears a block has 9 D of biases and 4 D of norms; outside the blocks are patch
// embedding (3 P^2 D + D), class token (D), positions (T D), the last norm (2 D) and the head
// (classes (D + 1)).
Parameters CountParameters(const v1::ExperimentSpec& spec, const ModelShape& m, int64_t tokens) {
  const DatasetShape* dataset = FindDataset(spec.dataset().name());
  const int64_t classes = spec.dataset().classes_size() > 0 ? spec.dataset().classes_size()
                          : dataset != nullptr              ? dataset->classes
                                                            : m.classes;
  const int64_t head = classes * (m.dim + 1);
  const int64_t rest = m.dim * (13 * m.depth + 3 * m.patch_size * m.patch_size + tokens + 4);
  Parameters p;
  p.elements = rest + head;
  const bool full = spec.training().method() == "full";
  p.trainable = full ? rest + head : head;
  p.frozen_bytes = full ? 0 : rest * kFloat;
  for (const ModuleShape& module : BlockLinears(m)) {
    p.elements += module.out * module.in;
    if (full) {
      p.trainable += module.out * module.in;
      continue;
    }
    const bool lora = spec.training().method() == "lora";
    const bool adapted = lora && ModuleMatchesAny(module.name, spec.lora().target_modules());
    if (lora && ModuleMatchesAny(module.name, spec.lora().modules_to_save())) {
      p.trainable += module.out * module.in;
      continue;
    }
    // Training for quantization, what is adapted is held in fp32 and, as passes use it, expanded.
    p.frozen_bytes += adapted && spec.training().quantization_aware()
                          ? module.out * module.in * (kFloat + ProductBytes(spec))
                          : LinearBytes(module, spec);
    if (adapted) p.trainable += RankOf(module.name, spec.lora()) * (module.out + module.in);
  }
  return p;
}

// What a step holds of one image. For backward a block keeps (worker/engine/model/block.h) its two
// normalised inputs, q, k, v, the attention's output, GELU's derivative and, when fc2 trains, its
// input: 14 T D e; selective keeps 11 T D e and makes q, k, v of one block again; full keeps the
// block's input in fp32, 4 T D, and the attention's output, T D e, and makes one block's 14 T D e
// again. A linear probe keeps none. Beside that live the values and gradients that pass through one
// block: 32 T D. Measured with DeiT-tiny (libtorch 1.13, 2 images): 4.0, 6.8 and 9.1 MB an image
// under full, selective and none; this gives 5.0, 11.4 and 13.9.
int64_t ActivationBytesPerImage(const v1::ExperimentSpec& spec, const ModelShape& m,
                                int64_t tokens) {
  const int64_t e = ProductBytes(spec);
  const int64_t width = tokens * m.dim;
  const std::string& mode = spec.training().gradient_checkpointing();
  int64_t kept = (m.depth * (kFloat + e) + 14 * e) * width;
  if (mode == "none") kept = m.depth * 14 * e * width;
  if (mode == "selective") kept = (m.depth * 11 + 3) * e * width;
  if (spec.training().method() == "linear_probe") kept = 0;
  return kept + 32 * width;
}

int64_t Tokens(const v1::ExperimentSpec& spec, const ModelShape& m) {
  const int64_t side = ImageSize(spec, m) / m.patch_size;
  return side * side + 1;
}

}  // namespace

int64_t EstimatePeakBytes(const v1::ExperimentSpec& spec, int64_t micro_batch) {
  const ModelShape* m = FindModel(spec.model().name());
  QSWEEP_CHECK(m != nullptr);  // a complete spec names a model
  const int64_t size = ImageSize(spec, *m);
  const int64_t tokens = Tokens(spec, *m);
  const Parameters p = CountParameters(spec, *m, tokens);
  // The largest linear, expanded for its product: the scratch panel of a quantized base, or the
  // copy in the products' type.
  const int64_t panel = m->dim * m->dim * m->mlp_ratio * kFloat;
  const int64_t training = BatchBytes(spec, size) + panel + p.trainable * kTrainableBytes +
                           micro_batch * ActivationBytesPerImage(spec, *m, tokens);
  return kProcessBytes + DatasetBytes(spec.dataset()) + p.frozen_bytes +
         std::max(p.elements * kFloat, training);
}

int64_t EstimateStoredBytes(const v1::ExperimentSpec& spec) {
  const ModelShape* m = FindModel(spec.model().name());
  QSWEEP_CHECK(m != nullptr);  // a complete spec names a model
  const Parameters p = CountParameters(spec, *m, Tokens(spec, *m));
  return p.trainable * kFloat * (2 * 4 + 1);
}

}  // namespace qsweep
