#include "worker/engine/data/mix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "worker/engine/base/random.h"

namespace qsweep::engine {
namespace {

bool Names(const v1::Dataset& spec, const std::string& augmentation) {
  return std::find(spec.augmentation().begin(), spec.augmentation().end(), augmentation) !=
         spec.augmentation().end();
}

// Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 2000; below 1 by
// their note at the end of section 6.
double Gamma(double shape, RandomStream& random) {
  if (shape < 1) {
    const double u = (static_cast<double>(random.NextUint32()) + 1) * 0x1p-32;
    return Gamma(shape + 1, random) * std::pow(u, 1 / shape);
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = random.NextNormal();
    const double v = std::pow(1 + c * x, 3);
    const double u = (static_cast<double>(random.NextUint32()) + 1) * 0x1p-32;
    if (v > 0 && std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

double SymmetricBeta(double alpha, RandomStream& random) {
  const double a = Gamma(alpha, random), b = Gamma(alpha, random);
  return a + b > 0 ? a / (a + b) : 0.5;
}

// Both return the share of `image` that is left in it.
double Blend(double share, const float* other, int64_t count, float* image) {
  const auto own = static_cast<float>(share);
  for (int64_t i = 0; i < count; ++i) image[i] = own * image[i] + (1 - own) * other[i];
  return share;
}

// A box of the image's own ratio, around a random point, cut off at the borders.
double Paste(double share, const float* other, int64_t side, RandomStream& random, float* image) {
  const auto half = static_cast<int64_t>(static_cast<double>(side) * std::sqrt(1 - share) / 2);
  const auto centre = [&] { return int64_t{random.NextBelow(static_cast<uint32_t>(side))}; };
  const int64_t y = centre(), x = centre();
  const int64_t top = std::max<int64_t>(0, y - half), bottom = std::min(side, y + half);
  const int64_t left = std::max<int64_t>(0, x - half), right = std::min(side, x + half);
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t line = top; line < bottom; ++line) {
      const int64_t begin = (c * side + line) * side;
      std::copy(other + begin + left, other + begin + right, image + begin + left);
    }
  }
  return 1 -
         static_cast<double>((bottom - top) * (right - left)) / static_cast<double>(side * side);
}

}  // namespace

bool Mixes(const v1::Dataset& spec) { return Names(spec, "mixup") || Names(spec, "cutmix"); }

void MixBatch(const v1::Dataset& spec, uint64_t seed, int64_t epoch,
              const std::vector<int64_t>& indices, int64_t classes, Batch* batch) {
  const auto size = static_cast<int64_t>(indices.size());
  const int64_t side = batch->images.size(2), count = 3 * side * side;
  const bool mixup = Names(spec, "mixup"), cutmix = Names(spec, "cutmix");
  // Not clone(), which would begin a team of threads from the loader's.
  const at::Tensor before = at::empty(batch->images.sizes());
  std::memcpy(before.data_ptr(), batch->images.data_ptr(), before.nbytes());
  batch->targets = at::zeros({size, classes}, at::kFloat);
  for (int64_t i = 0; i < size; ++i) {
    RandomStream random(MakeKey(seed, Purpose::kMixing), static_cast<uint64_t>(epoch),
                        static_cast<uint32_t>(indices[i]));
    const int64_t partner = size - 1 - i;
    const float* const other = before.data_ptr<float>() + partner * count;
    float* const image = batch->images.data_ptr<float>() + i * count;
    const bool paste = cutmix && (!mixup || random.NextBelow(2) == 1);
    const double drawn = SymmetricBeta(paste ? spec.cutmix_alpha() : spec.mixup_alpha(), random);
    const double share =
        paste ? Paste(drawn, other, side, random, image) : Blend(drawn, other, count, image);
    float* const target = batch->targets.data_ptr<float>() + i * classes;
    target[batch->labels.data_ptr<int64_t>()[i]] += static_cast<float>(share);
    target[batch->labels.data_ptr<int64_t>()[partner]] += static_cast<float>(1 - share);
  }
}

}  // namespace qsweep::engine
