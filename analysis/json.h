// Messages as JSON that any program reads: numbers are numbers (proto JSON quotes 64-bit ones),
// what is not a number is null. Fields without presence are always there, unset optional ones
// never.
#ifndef QSWEEP_ANALYSIS_JSON_H_
#define QSWEEP_ANALYSIS_JSON_H_

#include <google/protobuf/message.h>

#include <string>

namespace qsweep {

// Indented by two spaces, lists of plain values on one line, a line break at the end. Doubles are
// the shortest text that reads back as the same value. The same bytes for the same message.
std::string PlainJson(const google::protobuf::Message& message);
// The same on one line.
std::string PlainJsonLine(const google::protobuf::Message& message);

// "text", with everything escaped that JSON wants escaped, and < and > so that it may stand in
// HTML.
std::string JsonString(const std::string& text);
// A double, or null.
std::string JsonNumber(double value);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_JSON_H_
