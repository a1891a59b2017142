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

// Every single value below `message`, whether set or not, so that all rows have the same columns;
// lists (confusion matrix, errors of layers, files) are not for a table.
void AddValues(const Message& message, const std::string& prefix, std::vector<Column>* columns) {
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (field->is_repeated()) continue;
    const std::string path = absl::StrCat(prefix, field->name());
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        AddValues(reflection.GetMessage(message, field), path + ".", columns);
        break;
      case FieldDescriptor::CPPTYPE_STRING:
        columns->push_back({path, reflection.GetString(message, field)});
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        const double value = reflection.GetDouble(message, field);
        columns->push_back({path, std::isfinite(value) ? JsonNumber(value) : ""});
        break;
      }
      case FieldDescriptor::CPPTYPE_INT64:
        columns->push_back({path, absl::StrCat(reflection.GetInt64(message, field))});
        break;
      case FieldDescriptor::CPPTYPE_INT32:
        columns->push_back({path, absl::StrCat(reflection.GetInt32(message, field))});
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        columns->push_back({path, reflection.GetBool(message, field) ? "true" : "false"});
        break;
      default:
        break;
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
  std::vector<Column> results;
  AddValues(detail.result(), "result.", &results);
  for (Column& column : results) {
    if (!detail.has_result()) column.value.clear();
    columns.push_back(std::move(column));
  }
  return columns;
}

absl::Status AppendTables(const RunRecord& record, ExportFormat format, OutputDirectory& out) {
  return format == ExportFormat::kCsv ? AppendCsv(record, out) : AppendJsonLines(record, out);
}

}  // namespace qsweep
