// How commands print: results to standard output, remarks to standard error.
#ifndef QSWEEP_QCTL_OUTPUT_H_
#define QSWEEP_QCTL_OUTPUT_H_

#include <google/protobuf/message.h>

#include <cstddef>

#include "absl/strings/string_view.h"
#include "qctl/table.h"
#include "qctl/terminal.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep::qctl {

void Print(absl::string_view text);
void PrintLine(absl::string_view text);
// Above what comes next, behind an empty line.
void Heading(absl::string_view text);
// To standard error: what the user should know but no program reads.
void Note(absl::string_view text);
// One document, every field of it.
void PrintJson(const google::protobuf::Message& message);
// One document on one line, at once.
void PrintJsonLine(const google::protobuf::Message& message);
void PrintTable(const Table& table, size_t indent = 0);
// Of standard output. The width is the terminal's; elsewhere nothing is cut.
const Style& OutStyle();
size_t OutWidth();
// The colour a state is shown in.
Ink InkOf(v1::RunState state);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_OUTPUT_H_
