// The datasets qsweep knows, as published.
#ifndef QSWEEP_COMMON_SPEC_DATASETS_H_
#define QSWEEP_COMMON_SPEC_DATASETS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep {

// Images are spread evenly over the classes. A machine may hold fewer than were published.
struct DatasetShape {
  std::string name;
  int64_t classes;
  int64_t train_images;
  int64_t test_images;
  int64_t bytes_per_image;  // as stored, one byte a channel of a pixel
};

// How a worker names it among those it has: its name, or imagefolder:PATH.
std::string DatasetOnDisk(const v1::Dataset& dataset);

// nullptr: unknown, or an imagefolder, whose size nobody knows before it is seen.
const DatasetShape* FindDataset(absl::string_view name);

// Images that a run trains and evaluates on: of the classes chosen, up to the limits. 0: not known.
struct ImageCounts {
  int64_t train = 0;
  int64_t evaluation = 0;
};
ImageCounts ImagesOf(const v1::Dataset& dataset);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_DATASETS_H_
