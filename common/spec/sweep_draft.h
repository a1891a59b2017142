// A sweep file as written: read and checked value by value, not yet expanded.
#ifndef QSWEEP_COMMON_SPEC_SWEEP_DRAFT_H_
#define QSWEEP_COMMON_SPEC_SWEEP_DRAFT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/spec/patch.h"
#include "common/spec/yaml_document.h"

namespace qsweep {

struct SweepDraft {
  struct Axis {
    std::string path;  // a field or a section
    int line = 0;
    std::vector<Patch> alternatives;  // never empty
  };
  struct Exclude {
    int line = 0;
    Patch patch;
  };
  std::string name;
  int32_t priority = 0;
  Patch base;
  std::vector<Axis> axes;
  std::vector<Exclude> excludes;
  std::vector<Patch> includes;
};

// `default_name` is the name when the file gives none.
SweepDraft ReadSweepDraft(const YAML::Node& root, const std::string& default_name,
                          ProblemList* problems);

// The file's name without directories and extension, as far as it can name a sweep.
std::string SweepNameOfFile(const std::string& file_name);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_SWEEP_DRAFT_H_
