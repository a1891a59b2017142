#include "analysis/json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/reflection.h>

#include <charconv>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace qsweep {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void AppendNumber(double value, std::string* out) {
  if (!std::isfinite(value)) {
    out->append("null");
    return;
  }
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value);
  out->append(digits, end.ptr);
}

void AppendString(const std::string& text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
      case '\\':
        out->push_back('\\');
        out->push_back(c);
        break;
      case '\n':
        out->append("\\n");
        break;
      case '\t':
        out->append("\\t");
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == '<' || c == '>' || c == 0x7F) {
          absl::StrAppendFormat(out, "\\u%04x", static_cast<int>(c));
        } else {
          out->push_back(c);
        }
    }
  }
  out->push_back('"');
}

class Writer {
 public:
  explicit Writer(bool pretty) : pretty_(pretty) {}

  void Write(const Message& message) {
    const Descriptor& type = *message.GetDescriptor();
    const Reflection& reflection = *message.GetReflection();
    out_.push_back('{');
    ++depth_;
    bool first = true;
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor* field = type.field(i);
      if (field->has_presence() && !reflection.HasField(message, field)) continue;
      if (!first) out_.push_back(',');
      first = false;
      NewLine();
      absl::StrAppend(&out_, "\"", field->name(), "\":", pretty_ ? " " : "");
      field->is_repeated() ? WriteList(message, reflection, field)
                           : WriteValue(message, reflection, field);
    }
    --depth_;
    if (!first) NewLine();
    out_.push_back('}');
  }

  std::string Take() { return std::move(out_); }

 private:
  void NewLine() {
    if (!pretty_) return;
    out_.push_back('\n');
    out_.append(static_cast<size_t>(2 * depth_), ' ');
  }

  void WriteList(const Message& message, const Reflection& reflection,
                 const FieldDescriptor* field) {
    const int size = reflection.FieldSize(message, field);
    const bool lines = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    const char* comma = pretty_ && !lines ? ", " : ",";
    out_.push_back('[');
    ++depth_;
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {  // curves: most of all bytes
      const auto& values = reflection.GetRepeatedFieldRef<double>(message, field);
      for (int i = 0; i < size; ++i) {
        if (i > 0) out_.append(comma);
        AppendNumber(values.Get(i), &out_);
      }
    }
    for (int i = 0; field->cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE && i < size; ++i) {
      if (i > 0) out_.append(comma);
      if (lines) NewLine();
      WriteElement(message, reflection, field, i);
    }
    --depth_;
    if (lines && size > 0) NewLine();
    out_.push_back(']');
  }

  void WriteElement(const Message& message, const Reflection& reflection,
                    const FieldDescriptor* field, int i) {
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Write(reflection.GetRepeatedMessage(message, field, i));
      case FieldDescriptor::CPPTYPE_STRING:
        return AppendString(reflection.GetRepeatedString(message, field, i), &out_);
      case FieldDescriptor::CPPTYPE_INT64:
        return absl::StrAppend(&out_, reflection.GetRepeatedInt64(message, field, i));
      case FieldDescriptor::CPPTYPE_INT32:
        return absl::StrAppend(&out_, reflection.GetRepeatedInt32(message, field, i));
      default:
        out_.append("null");  // no such list in our files: the schema's test would see it
    }
  }

  void WriteValue(const Message& message, const Reflection& reflection,
                  const FieldDescriptor* field) {
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Write(reflection.GetMessage(message, field));
      case FieldDescriptor::CPPTYPE_STRING:
        return AppendString(reflection.GetString(message, field), &out_);
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return AppendNumber(reflection.GetDouble(message, field), &out_);
      case FieldDescriptor::CPPTYPE_INT64:
        return absl::StrAppend(&out_, reflection.GetInt64(message, field));
      case FieldDescriptor::CPPTYPE_INT32:
        return absl::StrAppend(&out_, reflection.GetInt32(message, field));
      case FieldDescriptor::CPPTYPE_UINT32:
        return absl::StrAppend(&out_, reflection.GetUInt32(message, field));
      case FieldDescriptor::CPPTYPE_BOOL:
        out_.append(reflection.GetBool(message, field) ? "true" : "false");
        return;
      case FieldDescriptor::CPPTYPE_ENUM:
        return AppendString(std::string(reflection.GetEnum(message, field)->name()), &out_);
      default:
        out_.append("null");
    }
  }

  const bool pretty_;
  int depth_ = 0;
  std::string out_;
};

std::string Written(const Message& message, bool pretty) {
  Writer writer(pretty);
  writer.Write(message);
  return writer.Take();
}

}  // namespace

std::string PlainJson(const Message& message) { return Written(message, true) + "\n"; }

std::string PlainJsonLine(const Message& message) { return Written(message, false); }

std::string JsonString(const std::string& text) {
  std::string out;
  AppendString(text, &out);
  return out;
}

std::string JsonNumber(double value) {
  std::string out;
  AppendNumber(value, &out);
  return out;
}

}  // namespace qsweep
