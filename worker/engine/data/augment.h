// What training images may go through. Each draw comes from the stream it is given, so a result
// depends on (seed, epoch, image) alone.
#ifndef QSWEEP_WORKER_ENGINE_DATA_AUGMENT_H_
#define QSWEEP_WORKER_ENGINE_DATA_AUGMENT_H_

#include <cstdint>

#include "qsweep/v1/spec.pb.h"
#include "worker/engine/base/random.h"
#include "worker/engine/data/image.h"

namespace qsweep::engine {

// The augmentations of `spec` (complete) that change pixels, in its order:
//   horizontal_flip      p = 1/2.
//   padded_crop          zero padding by 1/8 of the side, random crop of the old size.
//   random_resized_crop  a part of crop_scale .. 1 of the area and of a ratio of 3/4 .. 4/3, both
//                        drawn as torchvision's RandomResizedCrop draws them. Returns true: what is
//                        left is to be resized whole.
//   color_jitter         brightness, contrast and saturation in random order, as torchvision's
//                        ColorJitter with Pillow's ImageEnhance.
bool AugmentPixels(const v1::Dataset& spec, RandomStream& random, Image* image);

// random_erasing, if `spec` names it, as timm's RandomErasing in mode "pixel" (the DeiT recipe):
// with its probability, a part of 0.02 .. 1/3 of the area and of a ratio of 0.3 .. 3.3 becomes
// normal noise. `normalised`: [3, side, side].
void EraseRandomly(const v1::Dataset& spec, RandomStream& random, int64_t side, float* normalised);

// Pillow's ImageEnhance, for tests: the image blended with black, its mean grey, its own greys.
void AdjustBrightness(float factor, Image* image);
void AdjustContrast(float factor, Image* image);
void AdjustSaturation(float factor, Image* image);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_DATA_AUGMENT_H_
