// Tidy tables: runs.csv and metrics.csv, or the same as JSON lines.
#include <google/protobuf/descriptor.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "analysis/escape.h"
#include "analysis/exports/exports.h"
#include "analysis/json.h"
#include "common/spec/fields.h"
#include "common/spec/pairs.h"
#include "common/state_names.h"
#include "common/status.h"

namespace qsweep {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string ValueOf(const Message& message, const FieldDescriptor* field) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.GetString(message, field);
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      const double value = reflection.GetDouble(message, field);
      return std::isfinite(value) ? JsonNumber(value) : "";
    }
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(reflection.GetInt64(message, field));
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(reflection.GetInt32(message, field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, field) ? "true" : "false";
    default:
      return "";
  }
}

// Every single value below `message`, so that all rows have the same columns: empty where it is
// `absent` or a part of it is, as zero would be taken for a result. Lists (confusion matrix, errors
// of layers, files) are not for a table.
void AddValues(const Message& message, bool absent, const std::string& prefix,
               std::vector<Column>* columns) {
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (field->is_repeated()) continue;
    const std::string path = absl::StrCat(prefix, field->name());
    const bool none = absent || (field->has_presence() && !reflection.HasField(message, field));
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      AddValues(reflection.GetMessage(message, field), none, path + ".", columns);
    } else {
      columns->push_back({path, none ? "" : ValueOf(message, field)});
    }
  }
}

std::string Row(const std::vector<Column>& columns, std::string Column::*part) {
  return absl::StrCat(absl::StrJoin(columns, ",",
                                    [part](std::string* out, const Column& column) {
                                      out->append(CsvField(column.*part));
                                    }),
                      "\r\n");  // RFC 4180
}

absl::Status AppendCsv(const RunRecord& record, OutputDirectory& out) {
  const std::vector<Column> columns = RunColumns(record.detail);
  if (!out.Has("runs.csv")) {
    RETURN_IF_ERROR(out.Append("runs.csv", Row(columns, &Column::path)));
    RETURN_IF_ERROR(out.Append("metrics.csv", "run,metric,step,value\r\n"));
  }
  RETURN_IF_ERROR(out.Append("runs.csv", Row(columns, &Column::value)));
  std::string points;
  for (const v1::Curve& curve : record.curves) {
    const std::string head =
        absl::StrCat(CsvField(record.detail.run().name()), ",", CsvField(curve.name()), ",");
    for (int i = 0; i < curve.steps_size(); ++i) {
      absl::StrAppend(&points, head, curve.steps(i), ",",
                      std::isfinite(curve.values(i)) ? JsonNumber(curve.values(i)) : "", "\r\n");
    }
  }
  return out.Append("metrics.csv", points);
}

absl::Status AppendJsonLines(const RunRecord& record, OutputDirectory& out) {
  v1::RunDetail detail = record.detail;
  detail.clear_history();
  detail.clear_log_tail();
  RETURN_IF_ERROR(out.Append("runs.jsonl", PlainJsonLine(detail) + "\n"));
  std::string points;
  for (const v1::Curve& curve : record.curves) {
    const std::string head = absl::StrCat("{\"run\":", JsonString(record.detail.run().name()),
                                          ",\"metric\":", JsonString(curve.name()), ",\"step\":");
    for (int i = 0; i < curve.steps_size(); ++i) {
      absl::StrAppend(&points, head, curve.steps(i), ",\"value\":", JsonNumber(curve.values(i)),
                      "}\n");
    }
  }
  return out.Append("metrics.jsonl", points);
}

}  // namespace

std::vector<Column> RunColumns(const v1::RunDetail& detail) {
  const v1::Run& run = detail.run();
  std::vector<Column> columns = {{"run", run.name()},
                                 {"id", absl::StrCat(run.id())},
                                 {"state", StateName(run.state())},
                                 {"error", run.error()},
                                 {"quantization", QuantizationLabel(detail.spec().quantization())}};
  for (const SpecField& field : SpecFields()) {
    const bool set = IsSet(detail.spec(), field);
    columns.push_back(
        {absl::StrCat("spec.", field.path), set ? ValueText(detail.spec(), field) : ""});
  }
  AddValues(detail.result(), !detail.has_result(), "result.", &columns);
  return columns;
}

absl::Status AppendTables(const RunRecord& record, ExportFormat format, OutputDirectory& out) {
  return format == ExportFormat::kCsv ? AppendCsv(record, out) : AppendJsonLines(record, out);
}

}  // namespace qsweep
