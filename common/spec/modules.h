// The modules of a Vision Transformer that lora.target_modules and quantization.skip_modules speak
// of.
#ifndef QSWEEP_COMMON_SPEC_MODULES_H_
#define QSWEEP_COMMON_SPEC_MODULES_H_

#include <google/protobuf/repeated_field.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/spec/models.h"

namespace qsweep {

struct ModuleShape {
  std::string name;  // blocks.0.attn.qkv
  int64_t out;
  int64_t in;
};

// The linear modules of the blocks, in order: what adapters and quantization are for.
std::vector<ModuleShape> BlockLinears(const ModelShape& model);

// blocks.0.norm1, blocks.0.norm2, ..., norm.
std::vector<std::string> NormNames(const ModelShape& model);

// As PEFT reads target_modules and rank_pattern: `pattern` is the full name or a suffix of it after
// a dot, and may be a regular expression (RE2's) for either: it is one if it has one of
// \()[]{}|^$+? or begins with a dot. In others `*` stands for any characters within one component.
// "all-linear" matches what lies in a block (of the linear modules it is asked about: all).
bool ModuleMatches(absl::string_view module, absl::string_view pattern);
bool ModuleMatchesAny(absl::string_view module,
                      const google::protobuf::RepeatedPtrField<std::string>& patterns);
// What is wrong with a regular expression, which matches nothing then; empty: nothing.
std::string PatternError(absl::string_view pattern);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_SPEC_MODULES_H_
