#include "common/spec/cell_names.h"

#include <algorithm>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/hash.h"
#include "common/spec/fields.h"
#include "common/spec/pairs.h"

namespace qsweep {
namespace {

using Cells = std::vector<SweepPlan::Cell>;

constexpr size_t kMaxValueBytes = 40;

std::string StandardName(const v1::ExperimentSpec& spec) {
  const std::string& method = spec.training().method();
  return absl::StrCat(spec.model().name(), "-", spec.dataset().name(), "-",
                      method == "lora"           ? absl::StrCat("r", spec.lora().rank())
                      : method == "linear_probe" ? "probe"
                                                 : method,
                      "-",
                      absl::StrReplaceAll(QuantizationLabel(spec.quantization()), {{"+", ""}}));
}

// What the field is called in a name: short where the field is known by a short name.
std::string Label(const SpecField& field) {
  static const auto& labels = *new absl::flat_hash_map<std::string, std::string>{
      {"learning_rate", "lr"},  {"batch_size", "bs"},       {"weight_decay", "wd"},
      {"num_epochs", "ep"},     {"image_size", "px"},       {"max_grad_norm", "clip"},
      {"use_rslora", "rslora"}, {"warmup_steps", "warmup"}, {"use_mixed_precision", "mixed"}};
  const auto it = labels.find(field.leaf->name());
  return it == labels.end() ? field.leaf->name() : it->second;
}

// Label and value in characters that a shell and a file system leave alone; a value that has others
// or is long is told by the beginning of its hash.
std::string Part(const v1::ExperimentSpec& spec, const SpecField& field) {
  std::string value = ValueText(spec, field);
  if (field.leaf->is_repeated())
    value = absl::StrReplaceAll(value, {{"[", ""}, {"]", ""}, {", ", "+"}});
  if (value.empty()) value = "none";
  const bool plain =
      value.size() <= kMaxValueBytes && std::all_of(value.begin(), value.end(), [](char c) {
        return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '+' || c == '-';
      });
  if (!plain) value = Sha256Hex(value).substr(0, 8);
  const bool number = field.leaf->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_STRING &&
                      field.leaf->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_BOOL;
  return absl::StrCat("-", Label(field), number && plain ? "" : "_", value);
}

struct Pair {
  const SweepPlan::Cell* first;
  const SweepPlan::Cell* other;
};

// Cells that share a name, each with the first that has it.
std::vector<Pair> SameNamed(const Cells& cells) {
  absl::flat_hash_map<absl::string_view, const SweepPlan::Cell*> first;
  first.reserve(cells.size());
  std::vector<Pair> pairs;
  for (const SweepPlan::Cell& cell : cells) {
    const auto [it, fresh] = first.emplace(cell.name, &cell);
    if (!fresh) pairs.push_back({it->second, &cell});
  }
  return pairs;
}

}  // namespace

void NameCells(Cells* cells) {
  const auto seed = [](const SweepPlan::Cell& cell) {
    return absl::StrCat("-s", cell.spec.seed());
  };
  for (SweepPlan::Cell& cell : *cells)
    cell.name = absl::StrCat(StandardName(cell.spec), seed(cell));
  std::vector<Pair> pairs = SameNamed(*cells);
  for (const SpecField& field : SpecFields()) {
    if (std::none_of(pairs.begin(), pairs.end(), [&field](const Pair& pair) {
          return !SameValue(pair.first->spec, pair.other->spec, field);
        })) {
      continue;
    }
    for (SweepPlan::Cell& cell : *cells) {
      cell.name.insert(cell.name.size() - seed(cell).size(), Part(cell.spec, field));
    }
    pairs = SameNamed(*cells);
  }
}

}  // namespace qsweep
