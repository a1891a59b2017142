// A sweep file: a spec plus
//
// - name: of the sweep; letters, digits, . _ -; default: the file's name without its extension
// - priority: -1000..1000, higher runs first; default 0
// - matrix: axes. Each key is a field (lora.rank: [4, 8]) or a section (quantization: [{bits: 0},
//   {bits: 4}]); each alternative replaces those fields of the spec. Every combination is a cell,
//   the first axis varying slowest.
// - exclude: list of mappings; a cell of the matrix that has all values of one of them is dropped
// - include: list of mappings, each one more cell: the spec with those fields replaced. Without a
//   matrix these are the only cells.
//
// A file with neither matrix nor include is a sweep of one cell. A key may always be written
// dotted.
#ifndef QSWEEP_COMMON_SPEC_SWEEP_FILE_H_
#define QSWEEP_COMMON_SPEC_SWEEP_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "qsweep/v1/spec.pb.h"

namespace qsweep {

inline constexpr int64_t kMaxSweepFileBytes = 1 << 20;
inline constexpr int64_t kMaxCells = 100'000;

struct SweepPlan {
  struct Cell {
    std::string name;         // unique in the sweep: deit_tiny_patch16_224-cifar10-r8-nf4dq-s42
    v1::ExperimentSpec spec;  // complete and normalized
    std::string key;          // RunKey(spec)
  };
  std::string name;
  int32_t priority = 0;
  std::string source_yaml;
  std::vector<Cell> cells;  // in the order of expansion; never empty, no two with the same key
};

// InvalidArgument holds every problem found, one a line:
//   configs/a.yaml:12: lora.rnak: unknown key; did you mean rank?
// A problem that several cells share is one line, which says in how many and names the first.
absl::StatusOr<SweepPlan> ParseSweep(const std::string& yaml, const std::string& file_name);
// Also whatever ReadFile returns.
absl::StatusOr<SweepPlan> LoadSweepFile(const std::string& path);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_SWEEP_FILE_H_
