#include "common/spec/fields.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/quant/scheme.h"
#include "common/spec/pairs.h"
#include "common/status.h"
#include "common/utf8.h"
#include "common/wording.h"

namespace qsweep {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxStringBytes = 4096;
constexpr size_t kMaxElements = 1024;
constexpr char kAuto[] = "auto";

// As the .proto has it, but for what it cannot know.
const v1::FieldRule* RuleOf(const std::string& path, const FieldDescriptor* leaf) {
  const v1::FieldRule& written = leaf->options().GetExtension(v1::rule);
  if (path != "quantization.quant_type") return &written;
  auto* rule = new v1::FieldRule(written);
  for (const std::string& name : SchemeNames()) rule->add_one_of(name);
  return rule;
}

std::vector<SpecField> ListFields() {
  std::vector<SpecField> fields;
  const auto add = [&fields](const FieldDescriptor* section, const FieldDescriptor* leaf) {
    const std::string path =
        section ? absl::StrCat(section->name(), ".", leaf->name()) : leaf->name();
    fields.push_back({section, leaf, RuleOf(path, leaf), path});
  };
  const auto* spec = v1::ExperimentSpec::descriptor();
  for (int i = 0; i < spec->field_count(); ++i) {
    const FieldDescriptor* field = spec->field(i);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      add(nullptr, field);
      continue;
    }
    for (int k = 0; k < field->message_type()->field_count(); ++k) {
      add(field, field->message_type()->field(k));
    }
  }
  return fields;
}

const Message& Holder(const v1::ExperimentSpec& spec, const SpecField& field) {
  return field.section ? spec.GetReflection()->GetMessage(spec, field.section) : spec;
}

Message* MutableHolder(const SpecField& field, v1::ExperimentSpec* spec) {
  return field.section ? spec->GetReflection()->MutableMessage(spec, field.section) : spec;
}

FieldValue ScalarValue(const Message& m, const FieldDescriptor* f) {
  const Reflection* r = m.GetReflection();
  switch (f->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return r->GetBool(m, f);
    case FieldDescriptor::CPPTYPE_INT32:
      return int64_t{r->GetInt32(m, f)};
    case FieldDescriptor::CPPTYPE_INT64:
      return r->GetInt64(m, f);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return r->GetDouble(m, f);
    default:
      QSWEEP_CHECK(f->cpp_type() == FieldDescriptor::CPPTYPE_STRING);
      std::string unused;  // for messages that keep their text elsewhere; ours do not
      return absl::string_view(r->GetStringReference(m, f, &unused));
  }
}

FieldValue ElementValue(const Message& m, const FieldDescriptor* f, int i) {
  const Reflection* r = m.GetReflection();
  if (f->cpp_type() == FieldDescriptor::CPPTYPE_INT32) return int64_t{r->GetRepeatedInt32(m, f, i)};
  QSWEEP_CHECK(f->cpp_type() == FieldDescriptor::CPPTYPE_STRING);
  std::string unused;
  return absl::string_view(r->GetRepeatedStringReference(m, f, i, &unused));
}

// Shortest that reads back as the same double.
std::string NumberText(double value) {
  char buffer[32];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

std::string Text(const FieldValue& value) {
  if (const bool* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  if (const int64_t* n = std::get_if<int64_t>(&value)) return absl::StrCat(*n);
  if (const double* d = std::get_if<double>(&value)) return NumberText(*d);
  return std::string(std::get<absl::string_view>(value));
}

std::string Json(const FieldValue& value) {
  const auto* text = std::get_if<absl::string_view>(&value);
  if (text == nullptr) return Text(value);
  std::string json = "\"";
  for (const char c : *text) {
    if (c == '"' || c == '\\') json += '\\';
    if (absl::ascii_iscntrl(c)) {
      absl::StrAppend(&json, "\\u00", absl::Hex(c, absl::kZeroPad2));
    } else {
      json += c;
    }
  }
  return json + '"';
}

std::string RangeText(const v1::FieldRule& rule) {
  const std::string low =
      absl::StrCat(rule.above_min() ? "above " : "at least ", NumberText(rule.min()));
  const std::string high = absl::StrCat("at most ", NumberText(rule.max()));
  if (rule.has_min() && rule.has_max()) return absl::StrCat(low, " and ", high);
  return rule.has_min() ? low : high;
}

std::string ChoicesText(const v1::FieldRule& rule) { return absl::StrJoin(rule.one_of(), ", "); }

bool InRange(const v1::FieldRule& rule, double value) {
  if (!std::isfinite(value)) return false;
  if (rule.has_min() && (value < rule.min() || (rule.above_min() && value == rule.min())))
    return false;
  return !rule.has_max() || value <= rule.max();
}

std::string OneOfViolation(const v1::FieldRule& rule, const FieldValue& value) {
  const std::string text = Text(value);
  const auto& choices = rule.one_of();
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return "";
  const bool word = std::holds_alternative<absl::string_view>(value) && choices.size() > 1;
  return absl::StrCat("must be ", choices.size() > 1 ? "one of " : "", ChoicesText(rule), "; not ",
                      Quoted(text), word ? DidYouMean(text, {choices.begin(), choices.end()}) : "");
}

bool IsAuto(const v1::FieldRule& rule, const FieldValue& value) {
  const int64_t* n = std::get_if<int64_t>(&value);
  return rule.has_auto_value() && n != nullptr && *n == rule.auto_value();
}

std::string TextViolation(absl::string_view text) {
  if (text.size() > kMaxStringBytes) return absl::StrCat("longer than ", kMaxStringBytes, " bytes");
  return HasControl(text) ? absl::StrCat("has control characters: ", Quoted(text)) : "";
}

std::string ValueViolation(const v1::FieldRule& rule, const FieldValue& value) {
  if (IsAuto(rule, value)) return "";
  if (!rule.one_of().empty()) return OneOfViolation(rule, value);
  if (const auto* text = std::get_if<absl::string_view>(&value)) {
    if (rule.pairs() && SplitPair(*text).pattern.empty()) {
      return absl::StrCat("must be PATTERN=VALUE, or a mapping {PATTERN: VALUE}; not ",
                          Quoted(*text));
    }
    return TextViolation(*text);
  }
  const int64_t* n = std::get_if<int64_t>(&value);
  const double* d = std::get_if<double>(&value);
  if ((n && !InRange(rule, static_cast<double>(*n))) || (d && !InRange(rule, *d))) {
    return absl::StrCat("must be ", RangeText(rule), "; not ", Text(value));
  }
  return "";
}

std::string Joined(const v1::ExperimentSpec& spec, const SpecField& field,
                   absl::string_view separator, std::string (*print)(const FieldValue&)) {
  std::string text =
      absl::StrJoin(Values(spec, field), separator,
                    [print](std::string* out, const FieldValue& v) { out->append(print(v)); });
  return field.leaf->is_repeated() ? absl::StrCat("[", text, "]") : text;
}

absl::Status NotA(absl::string_view what, absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat("must be ", what, ", not ", Quoted(text)));
}

}  // namespace

const std::vector<SpecField>& SpecFields() {
  static const auto& fields = *new std::vector<SpecField>(ListFields());
  return fields;
}

const SpecField* FindSpecField(absl::string_view path) {
  static const auto& by_path = *[] {
    auto* map = new absl::flat_hash_map<std::string, const SpecField*>;
    for (const SpecField& field : SpecFields()) map->emplace(field.path, &field);
    return map;
  }();
  const auto it = by_path.find(path);
  return it == by_path.end() ? nullptr : it->second;
}

const std::vector<std::string>& SectionNames() {
  static const auto& names = *[] {
    auto* list = new std::vector<std::string>;
    for (const SpecField& field : SpecFields()) {
      if (field.section && (list->empty() || list->back() != field.section->name())) {
        list->push_back(field.section->name());
      }
    }
    return list;
  }();
  return names;
}

std::vector<FieldValue> Values(const v1::ExperimentSpec& spec, const SpecField& field) {
  const Message& holder = Holder(spec, field);
  if (!field.leaf->is_repeated()) return {ScalarValue(holder, field.leaf)};
  std::vector<FieldValue> values;
  const int size = holder.GetReflection()->FieldSize(holder, field.leaf);
  for (int i = 0; i < size; ++i) values.push_back(ElementValue(holder, field.leaf, i));
  return values;
}

bool IsSet(const v1::ExperimentSpec& spec, const SpecField& field) {
  const Message& holder = Holder(spec, field);
  if (field.leaf->is_repeated()) return holder.GetReflection()->FieldSize(holder, field.leaf) > 0;
  return holder.GetReflection()->HasField(holder, field.leaf);
}

bool SameValue(const v1::ExperimentSpec& a, const v1::ExperimentSpec& b, const SpecField& field) {
  if (field.leaf->is_repeated()) return Values(a, field) == Values(b, field);
  return ScalarValue(Holder(a, field), field.leaf) == ScalarValue(Holder(b, field), field.leaf);
}

std::string ValueText(const v1::ExperimentSpec& spec, const SpecField& field) {
  if (field.rule->has_auto_value() && IsAuto(*field.rule, Values(spec, field).front()))
    return kAuto;
  return Joined(spec, field, ", ", Text);
}

std::string ValueJson(const v1::ExperimentSpec& spec, const SpecField& field) {
  return Joined(spec, field, ",", Json);
}

void ClearField(const SpecField& field, v1::ExperimentSpec* spec) {
  if (!IsSet(*spec, field)) return;
  Message* holder = MutableHolder(field, spec);
  holder->GetReflection()->ClearField(holder, field.leaf);
}

absl::Status AddText(const SpecField& field, absl::string_view text, v1::ExperimentSpec* spec) {
  Message* m = MutableHolder(field, spec);
  const Reflection* r = m->GetReflection();
  const FieldDescriptor* f = field.leaf;
  int32_t small;
  int64_t large;
  double real;
  switch (f->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      if (text != "true" && text != "false") return NotA("true or false", text);
      r->SetBool(m, f, text == "true");
      break;
    case FieldDescriptor::CPPTYPE_INT32:
      if (field.rule->has_auto_value() && text == kAuto) {
        small = static_cast<int32_t>(field.rule->auto_value());
      } else if (!absl::SimpleAtoi(text, &small)) {
        return NotA("a whole number of 32 bits", text);
      }
      f->is_repeated() ? r->AddInt32(m, f, small) : r->SetInt32(m, f, small);
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      if (!absl::SimpleAtoi(text, &large)) return NotA("a whole number", text);
      r->SetInt64(m, f, large);
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      if (!absl::SimpleAtod(text, &real) || !std::isfinite(real)) return NotA("a number", text);
      r->SetDouble(m, f, real + 0.0);  // not -0: two keys of one value
      break;
    default: {
      std::string copy(text);
      f->is_repeated() ? r->AddString(m, f, std::move(copy)) : r->SetString(m, f, std::move(copy));
    }
  }
  return absl::OkStatus();
}

std::string AllowedText(const SpecField& field) {
  if (field.rule->pairs()) return "PATTERN=VALUE, or a mapping {PATTERN: VALUE}";
  if (!field.rule->one_of().empty()) return ChoicesText(*field.rule);
  return field.rule->has_min() || field.rule->has_max() ? RangeText(*field.rule) : "";
}

std::string RuleViolation(const v1::ExperimentSpec& spec, const SpecField& field) {
  if (!IsSet(spec, field)) return "";
  const std::vector<FieldValue> values = Values(spec, field);
  if (values.size() > kMaxElements) return absl::StrCat("more than ", kMaxElements, " elements");
  for (const FieldValue& value : values) {
    std::string violation = ValueViolation(*field.rule, value);
    if (!violation.empty()) return violation;
  }
  std::set<FieldValue> seen;
  for (size_t i = 0; values.size() > 1 && i < values.size(); ++i) {
    if (!seen.insert(values[i]).second)
      return absl::StrCat("names ", Quoted(Text(values[i])), " twice");
  }
  return "";
}

}  // namespace qsweep
