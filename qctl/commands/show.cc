// qctl show RUN: everything about one run.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "analysis/run_facts.h"
#include "analysis/shown.h"
#include "common/clock.h"
#include "common/spec/fields.h"
#include "common/spec/pairs.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

// Name and value, one a line; pairs without a value are left out.
void PrintFacts(const std::vector<std::pair<std::string, std::string>>& facts) {
  size_t width = 0;
  for (const auto& [name, value] : facts) width = std::max(width, name.size());
  for (const auto& [name, value] : facts) {
    if (value.empty()) continue;
    const std::string label = absl::StrCat(name, std::string(width - name.size(), ' '));
    PrintLine(absl::StrCat("  ", OutStyle().Paint(Ink::kDim, label), "  ", Printable(value)));
  }
}

void PrintRun(const v1::Run& run) {
  PrintLine(absl::StrCat(OutStyle().Paint(Ink::kBold, Printable(run.name())), "  ",
                         OutStyle().Paint(InkOf(run.state()), StateName(run.state()))));
  const bool failed = run.state() == v1::RUN_STATE_FAILED;
  PrintFacts({
      {"run", absl::StrCat(run.id(), " of sweep ", run.sweep_id())},
      {"key", run.key()},
      {"waits", run.waiting()},
      {"error", failed ? absl::StrCat(run.error(), " (", BlameName(run.blame()), ")") : ""},
      {"worker", run.worker()},
      {"remark", run.remark()},
      {"step", run.total_steps() > 0
                   ? absl::StrCat(FormatCount(run.step()), " of ", FormatCount(run.total_steps()))
                   : ""},
      {"result of", run.reused_run_id() != 0 ? absl::StrCat("run ", run.reused_run_id()) : ""},
      {"started", FormatTime(run.started_unix_us())},
      {"took", FormatSpan(run.started_unix_us(), run.ended_unix_us(), SystemClock().UnixMicros())},
  });
}

// One line a section: lora  rank 8, alpha 16, ...
void PrintSpec(const v1::ExperimentSpec& spec) {
  std::vector<std::pair<std::string, std::string>> sections;
  for (const SpecField& field : SpecFields()) {
    if (!IsSet(spec, field)) continue;
    const size_t dot = field.path.find('.');
    const std::string section = field.path.substr(0, dot);
    if (sections.empty() || sections.back().first != section) sections.emplace_back(section, "");
    std::string& text = sections.back().second;
    absl::StrAppend(&text, text.empty() ? "" : ", ",
                    dot == std::string::npos ? "" : field.path.substr(dot + 1) + " ",
                    ValueText(spec, field));
  }
  Heading("spec");
  PrintFacts(sections);
}

std::string Evaluated(const v1::Evaluation& evaluation) {
  return absl::StrCat("epoch ", evaluation.epoch(), ": top-1 ", FormatPercent(evaluation.top1(), 2),
                      ", top-5 ", FormatPercent(evaluation.top5(), 2), ", loss ",
                      FormatNumber(evaluation.loss()), ", macro F1 ",
                      FormatPercent(evaluation.macro_f1(), 2));
}

void PrintQuantization(const v1::Quantization& asked, const v1::QuantizationFacts& facts) {
  Heading("quantization");
  const bool none = facts.layers_quantized() == 0;
  PrintFacts({
      {"type", none ? "none" : QuantizationLabel(asked)},
      {"layers",
       none ? ""
            : absl::StrCat(facts.layers_quantized(), ", ", FormatCount(facts.weights_quantized()),
                           " weights of ", FormatNumber(facts.bits_per_weight()), " bits")},
      {"model", absl::StrCat(FormatBytes(facts.bytes_after()), ", in fp32 ",
                             FormatBytes(facts.bytes_before()))},
      {"computes in",
       absl::StrCat(facts.compute_dtype_used(),
                    facts.compute_dtype_used() == facts.compute_dtype_asked()
                        ? ""
                        : absl::StrCat(" (asked: ", facts.compute_dtype_asked(), ")"))},
  });
}

std::string Machine(const v1::Provenance& provenance) {
  return absl::StrCat(provenance.cpu(), ", ", provenance.instruction_set(), ", ",
                      Plural(provenance.threads(), "thread"));
}

// Of a run that measured, and trained nothing.
void PrintSensitivity(const v1::RunResult& result) {
  constexpr int kShown = 10;
  const v1::Sensitivity& measured = result.sensitivity();
  Heading("result");
  PrintFacts({
      {"unquantized",
       absl::StrCat(
           "top-1 ", FormatPercent(measured.unquantized().top1(), 2), ", loss ",
           FormatNumber(measured.unquantized().loss()),
           measured.labels() == "model" ? ", by the labels that the model itself gives" : "")},
      {"measured",
       absl::StrCat(Plural(measured.layers_size(), "time"), " with one layer quantized, ",
                    FormatElapsed(absl::Seconds(result.train_seconds())))},
      {"machine", Machine(result.provenance())},
  });
  std::vector<v1::LayerMeasurement> layers(measured.layers().begin(), measured.layers().end());
  std::stable_sort(layers.begin(), layers.end(),
                   [](const auto& a, const auto& b) { return a.loss_change() > b.loss_change(); });
  if (layers.size() > kShown) layers.resize(kShown);
  Heading("costliest layers");
  using Align = Table::Align;
  Table table({{"layer"},
               {"type"},
               {"bits", Align::kRight},
               {"loss", Align::kRight},
               {"top-1", Align::kRight},
               {"divergence", Align::kRight}});
  for (const v1::LayerMeasurement& layer : layers) {
    table.AddRow(
        {layer.layer(), layer.quant_type(), absl::StrFormat("%.2f", layer.bits_per_weight()),
         absl::StrFormat("%+.4f", layer.loss_change()),
         absl::StrFormat("%+.2f %%", 100 * layer.top1_change()), FormatNumber(layer.divergence())});
  }
  PrintTable(table, 2);
}

void PrintResult(const v1::ExperimentSpec& spec, const v1::RunResult& result) {
  Heading("result");
  const v1::MemoryAccount& memory = result.memory();
  std::vector<std::pair<std::string, std::string>> facts = {
      {"best", Evaluated(result.best())},
      {"final", Evaluated(result.final())},
      {"merged",
       result.has_merged()
           ? absl::StrCat("top-1 ", FormatPercent(result.merged().top1(), 2), ", quantized again ",
                          FormatPercent(result.requantized().top1(), 2))
           : ""},
      {"trained",
       absl::StrCat(FormatCount(result.steps()), " steps, ", Plural(result.epochs(), "epoch"),
                    result.stopped_early() ? " (stopped early)" : "", ", ",
                    FormatElapsed(absl::Seconds(result.train_seconds())), ", ",
                    FormatRate(result.images_per_s()))},
      {"convergence", ConvergenceText(result)},
      {"gradients", GradientText(result.gradients())},
      {"parameters", absl::StrCat(FormatCount(result.trainable_parameters()), " trainable of ",
                                  FormatCount(AllParameters(spec, result)))},
      {"memory", absl::StrCat("peak ", FormatBytes(memory.peak_bytes()), ": weights ",
                              FormatBytes(memory.weights_bytes() + memory.scales_bytes()),
                              ", adapter ", FormatBytes(memory.adapter_bytes()), ", gradients ",
                              FormatBytes(memory.gradient_bytes()), ", optimizer ",
                              FormatBytes(memory.optimizer_bytes()), ", activations ",
                              FormatBytes(memory.activation_bytes()), ", workspace ",
                              FormatBytes(memory.workspace_bytes()), ", images ",
                              FormatBytes(memory.data_bytes()))},
      {"resident", absl::StrCat(FormatBytes(memory.rss_before_bytes()), " before training, ",
                                FormatBytes(memory.rss_peak_bytes()), " at most")},
      {"micro-batch", absl::StrCat(memory.micro_batch(), " x ", memory.accumulation_steps(),
                                   ", checkpointing ", memory.gradient_checkpointing())},
      {"foretold",
       memory.predicted_peak_bytes() > 0
           ? absl::StrCat("a step's peak of ", FormatBytes(memory.predicted_peak_bytes()))
           : ""},
      {"machine", Machine(result.provenance())},
  };
  for (const v1::FileFact& file : result.files()) {
    facts.emplace_back("file", absl::StrCat(file.name(), ", ", FormatBytes(file.bytes()),
                                            ", sha256 ", file.sha256().substr(0, 12)));
  }
  PrintFacts(facts);
}

// First value, curve, last value, one line a series. Points come by name.
void PrintCurves(const v1::GetMetricsReply& metrics) {
  constexpr size_t kWidth = 40;
  std::vector<std::pair<std::string, std::vector<double>>> curves;
  for (const v1::MetricPoint& point : metrics.points()) {
    if (curves.empty() || curves.back().first != point.name()) curves.emplace_back(point.name(), 0);
    curves.back().second.push_back(point.value());
  }
  if (curves.empty()) return;
  Heading("curves");
  std::vector<std::pair<std::string, std::string>> facts;
  for (const auto& [name, values] : curves) {
    facts.emplace_back(
        name, absl::StrCat(FormatNumber(values.front()), " ", OutStyle().Sparkline(values, kWidth),
                           " ", FormatNumber(values.back())));
  }
  PrintFacts(facts);
}

void PrintAttempts(const v1::RunDetail& detail) {
  if (detail.attempts().empty()) return;
  Heading("attempts");
  Table table({{"no", Table::Align::kRight},
               {"worker"},
               {"outcome"},
               {"from step", Table::Align::kRight},
               {"started"},
               {"took", Table::Align::kRight},
               {"error"}});
  for (const v1::AttemptRecord& attempt : detail.attempts()) {
    table.AddRow(
        {absl::StrCat(attempt.number()), attempt.worker(), attempt.outcome(),
         FormatCount(attempt.resume_step()), FormatTime(attempt.started_unix_us()),
         FormatSpan(attempt.started_unix_us(), attempt.ended_unix_us(), SystemClock().UnixMicros()),
         attempt.error().empty()
             ? ""
             : absl::StrCat(attempt.error(), " (", BlameName(attempt.blame()), ")")});
  }
  PrintTable(table, 2);
}

void PrintHistory(const v1::RunDetail& detail) {
  if (!detail.history().empty()) Heading("history");
  for (const v1::HistoryLine& entry : detail.history()) {
    PrintLine(absl::StrCat("  ", OutStyle().Paint(Ink::kDim, FormatTime(entry.unix_us())), "  ",
                           Printable(entry.text())));
  }
  if (detail.log_tail().empty()) return;
  Heading("last words");
  for (const absl::string_view text : absl::StrSplit(detail.log_tail(), '\n', absl::SkipEmpty())) {
    PrintLine(absl::StrCat("  ", Printable(text)));
  }
}

absl::StatusOr<int> Show(const GlobalOptions& options, const std::string& run) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::RunDetail detail, connection->client().GetRun(run));
  if (options.json) {
    PrintJson(detail);
    return kExitGood;
  }
  PrintRun(detail.run());
  PrintSpec(detail.spec());
  const bool measured = detail.result().has_sensitivity();
  if (detail.has_quantization() && !measured) {
    PrintQuantization(detail.spec().quantization(), detail.quantization());
  }
  if (measured) {
    PrintSensitivity(detail.result());
  } else if (detail.has_result()) {
    PrintResult(detail.spec(), detail.result());
  }
  ASSIGN_OR_RETURN(const v1::GetMetricsReply metrics,
                   connection->client().GetMetrics(
                       run, {"eval/loss", "eval/top1", "gradient_norm", "learning_rate", "loss"}));
  PrintCurves(metrics);
  PrintAttempts(detail);
  PrintHistory(detail);
  return kExitGood;
}

}  // namespace

void AddShow(CommandLine& line) {
  auto run = std::make_shared<std::string>();
  line.Add("show", "show everything about a run",
           [&options = line.options, run] { return Show(options, *run); })
      .AddOption("RUN", run.get(), "number or SWEEP/NAME")
      .Required();
}

}  // namespace qsweep::qctl
