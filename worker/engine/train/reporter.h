// What a trainer says: every fact as an event in events.log for the program that supervises it, and
// the important ones as a line on standard output for a person.
#ifndef QSWEEP_WORKER_ENGINE_TRAIN_REPORTER_H_
#define QSWEEP_WORKER_ENGINE_TRAIN_REPORTER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/event_log.h"
#include "qsweep/v1/event.pb.h"

namespace qsweep::engine {

// Not thread-safe. An error is one of writing events.log: without it nobody knows of the run, so
// the run ends.
class Reporter {
 public:
  // AlreadyExists if `directory` has been trained in.
  static absl::StatusOr<Reporter> Create(const std::string& directory);

  absl::Status Started(const v1::Started& started);
  absl::Status Quantized(const v1::QuantizationFacts& facts);
  // The points of a window of steps.
  absl::Status Step(const v1::Metrics& metrics, int64_t total_steps);
  // Points without a line of a step's own; `line` is for a person, empty: none.
  absl::Status Points(const v1::Metrics& metrics, absl::string_view line = "");
  // The evaluation, and its numbers as points of the step.
  absl::Status Evaluated(const v1::Evaluation& evaluation, int64_t step, bool better);
  absl::Status CheckpointWritten(const v1::CheckpointWritten& checkpoint);
  absl::Status Log(absl::string_view level, absl::string_view text);
  // The last event of a run; on disk when it returns.
  absl::Status Finished(const v1::RunResult& result);
  absl::Status Failed(v1::Blame blame, absl::string_view message);

 private:
  explicit Reporter(EventLogWriter log) : log_(std::move(log)) {}
  absl::Status Append(v1::Event event);

  EventLogWriter log_;
};

// A line for a person: flushed, since a killed process should not take it along.
void Say(absl::string_view text);

void AddPoint(absl::string_view name, double value, v1::Metrics* metrics);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_TRAIN_REPORTER_H_
