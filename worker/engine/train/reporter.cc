#include "worker/engine/train/reporter.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/attempt_dir.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/status.h"

namespace qsweep::engine {
namespace {

double PointOf(const v1::Metrics& metrics, absl::string_view name) {
  for (const v1::Point& point : metrics.points()) {
    if (point.name() == name) return point.value();
  }
  return 0;
}

}  // namespace

void Say(absl::string_view text) {
  std::fprintf(stdout, "%.*s\n", static_cast<int>(text.size()), text.data());
  std::fflush(stdout);
}

void AddPoint(absl::string_view name, double value, v1::Metrics* metrics) {
  v1::Point* point = metrics->add_points();
  point->set_name(std::string(name));
  point->set_value(value);
}

absl::StatusOr<Reporter> Reporter::Create(const std::string& directory) {
  ASSIGN_OR_RETURN(EventLogWriter log, EventLogWriter::Create(JoinPath(directory, kEventsFile)));
  return Reporter(std::move(log));
}

absl::Status Reporter::Append(v1::Event event) {
  event.set_unix_us(SystemClock().UnixMicros());
  return log_.Append(event);
}

absl::Status Reporter::Started(const v1::Started& started) {
  v1::Event event;
  *event.mutable_started() = started;
  RETURN_IF_ERROR(Append(std::move(event)));
  return Log("info",
             absl::StrFormat("%d steps in epochs of %d, micro-batch %d%s", started.total_steps(),
                             started.steps_per_epoch(), started.micro_batch(),
                             started.resume_step() == 0
                                 ? ""
                                 : absl::StrCat(", continued after step ", started.resume_step())));
}

absl::Status Reporter::Quantized(const v1::QuantizationFacts& facts) {
  const std::string text =
      facts.layers_quantized() == 0
          ? absl::StrFormat("weights %.2f MB, not quantized; computed in %s",
                            static_cast<double>(facts.bytes_after()) / 1e6,
                            facts.compute_dtype_used())
          : absl::StrFormat(
                "weights %.2f MB to %.2f MB: %d layers in %s%s, %.3f bits a weight; "
                "computed in %s",
                static_cast<double>(facts.bytes_before()) / 1e6,
                static_cast<double>(facts.bytes_after()) / 1e6, facts.layers_quantized(),
                facts.quant_type(), facts.double_quant() ? " with double quantization" : "",
                facts.bits_per_weight(), facts.compute_dtype_used());
  v1::Event event;
  *event.mutable_quantization() = facts;
  RETURN_IF_ERROR(Append(std::move(event)));
  return Log("info", text);
}

absl::Status Reporter::Step(const v1::Metrics& metrics, int64_t total_steps) {
  Say(absl::StrFormat("step %d/%d  epoch %d  loss %.4f  lr %.3g  grad %.3g  %.1f img/s",
                      metrics.step(), total_steps, metrics.epoch(), PointOf(metrics, "loss"),
                      PointOf(metrics, "learning_rate"), PointOf(metrics, "gradient_norm"),
                      PointOf(metrics, "images_per_s")));
  v1::Event event;
  *event.mutable_metrics() = metrics;
  return Append(std::move(event));
}

absl::Status Reporter::Points(const v1::Metrics& metrics, absl::string_view line) {
  if (!line.empty()) Say(line);
  v1::Event event;
  *event.mutable_metrics() = metrics;
  return Append(std::move(event));
}

absl::Status Reporter::Evaluated(const v1::Evaluation& evaluation, int64_t step, bool better) {
  RETURN_IF_ERROR(Log(
      "info",
      absl::StrFormat("epoch %d evaluated on %d images: loss %.4f  top-1 %.2f %%  top-5 %.2f %%  "
                      "macro F1 %.4f%s",
                      evaluation.epoch(), evaluation.images(), evaluation.loss(),
                      100 * evaluation.top1(), 100 * evaluation.top5(), evaluation.macro_f1(),
                      better ? "  (best so far)" : "")));
  v1::Event points;
  v1::Metrics* metrics = points.mutable_metrics();
  metrics->set_step(step);
  metrics->set_epoch(evaluation.epoch());
  AddPoint("eval/loss", evaluation.loss(), metrics);
  AddPoint("eval/top1", evaluation.top1(), metrics);
  AddPoint("eval/top5", evaluation.top5(), metrics);
  AddPoint("eval/macro_precision", evaluation.macro_precision(), metrics);
  AddPoint("eval/macro_recall", evaluation.macro_recall(), metrics);
  AddPoint("eval/macro_f1", evaluation.macro_f1(), metrics);
  return Append(std::move(points));
}

absl::Status Reporter::CheckpointWritten(const v1::CheckpointWritten& checkpoint) {
  v1::Event event;
  *event.mutable_checkpoint() = checkpoint;
  return Append(std::move(event));
}

absl::Status Reporter::Log(absl::string_view level, absl::string_view text) {
  Say(level == "info" ? std::string(text) : absl::StrCat(level, ": ", text));
  v1::Event event;
  event.mutable_log()->set_level(std::string(level));
  event.mutable_log()->set_text(std::string(text));
  return Append(std::move(event));
}

absl::Status Reporter::Finished(const v1::RunResult& result) {
  if (result.has_sensitivity()) {
    Say(absl::StrFormat("finished: %d measurements", result.sensitivity().layers_size()));
  } else {
    Say(absl::StrFormat(
        "finished: best epoch %d of %d, top-1 %.2f %%, %.1f img/s, "
        "resident %.0f MB at most",
        result.best_epoch(), result.epochs(), 100 * result.best().top1(), result.images_per_s(),
        static_cast<double>(result.memory().rss_peak_bytes()) / 1e6));
  }
  for (const v1::FileFact& file : result.files()) {
    Say(absl::StrCat("  ", file.name(), "  sha256 ", file.sha256()));
  }
  v1::Event event;
  *event.mutable_finished()->mutable_result() = result;
  RETURN_IF_ERROR(Append(std::move(event)));
  return log_.Sync();
}

absl::Status Reporter::Failed(v1::Blame blame, absl::string_view message) {
  v1::Event event;
  event.mutable_failed()->set_blame(blame);
  event.mutable_failed()->set_message(std::string(message));
  RETURN_IF_ERROR(Append(std::move(event)));
  return log_.Sync();
}

}  // namespace qsweep::engine
