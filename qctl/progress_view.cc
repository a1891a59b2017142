#include "qctl/progress_view.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "qctl/format.h"
#include "qctl/output.h"

namespace qsweep::qctl {
namespace {

constexpr size_t kWidestBar = 40;

// "3 waiting", or empty for none.
void AddCount(int n, absl::string_view what, std::vector<std::string>* parts) {
  if (n > 0) parts->push_back(absl::StrCat(FormatCount(n), " ", what));
}

std::vector<std::string> Counts(const v1::Sweep& sweep) {
  std::vector<std::string> parts;
  AddCount(sweep.running(), "running", &parts);
  AddCount(sweep.pending(), "waiting", &parts);
  AddCount(sweep.failed(), "failed", &parts);
  AddCount(sweep.cancelled(), "cancelled", &parts);
  AddCount(sweep.reused(), "reused", &parts);
  return parts;
}

std::vector<std::string> Pace(const SweepProgress& progress, absl::Duration now) {
  std::vector<std::string> parts;
  const std::string rate = FormatRate(progress.ImagesPerSecond());
  if (!rate.empty()) parts.push_back(rate);
  const auto left = progress.TimeLeft(now);
  // Nobody knows how long what is paused, or finds no worker, will wait.
  if (progress.sweep().running() > 0 && left && *left > absl::ZeroDuration()) {
    parts.push_back(absl::StrCat(FormatElapsed(*left), " left"));
  }
  return parts;
}

std::string Padded(std::string text, size_t width) {
  const size_t size = DisplayWidth(text);
  return size < width ? text + std::string(width - size, ' ') : text;
}

// name  ━━━━━────  41 %  3/8 runs
std::string TitleLine(const SweepProgress& progress, size_t columns, const Style& style) {
  const v1::Sweep& sweep = progress.sweep();
  const std::string tail = absl::StrFormat("  %3.0f %%  %d/%d runs", progress.Fraction() * 100,
                                           EndedRuns(sweep), TotalRuns(sweep));
  const size_t room = columns > tail.size() + 2 ? columns - tail.size() - 2 : 0;
  const std::string name = Fit(Printable(sweep.name()), room / 2, style.Ellipsis());
  const size_t bar = std::min(kWidestBar, room - std::min(room, DisplayWidth(name)));
  const Ink ink = sweep.failed() > 0 ? Ink::kYellow : Ink::kGreen;
  return absl::StrCat(style.Paint(Ink::kBold, name), "  ", style.Bar(progress.Fraction(), bar, ink),
                      Cut(tail, columns, ""));
}

// What the line of a running run says.
struct RunningRow {
  std::string name, facts, worker;
  double fraction = 0;
};

RunningRow DescribeRunning(const v1::Run& run) {
  RunningRow row;
  row.name = Printable(run.name());
  row.worker = Printable(run.remark().empty() ? run.worker()
                                              : absl::StrCat(run.worker(), ": ", run.remark()));
  std::string steps = "starting";
  if (run.total_steps() > 0) {
    row.fraction = static_cast<double>(run.step()) / static_cast<double>(run.total_steps());
    steps = absl::StrCat(FormatCount(run.step()), "/", FormatCount(run.total_steps()));
  }
  row.facts = absl::StrFormat("%3.0f %%  %11s  %11s", row.fraction * 100, steps,
                              FormatRate(run.images_per_s()));
  return row;
}

// name  ━━━━━━────  52 %  820/1,560  67.2 img/s  worker: a line for each running run, in columns.
// Narrow terminals lose the worker first, then the bar's length, then the middle of names.
std::vector<std::string> RunningLines(const SweepProgress& progress, size_t columns,
                                      const Style& style) {
  constexpr size_t kIndent = 2, kGap = 2, kLeastBar = 8, kGreatestBar = 20, kLeastText = 4;
  std::vector<RunningRow> rows;
  size_t name_width = 0, facts_width = 0;
  for (const auto& [id, run] : progress.running()) {
    rows.push_back(DescribeRunning(run));
    name_width = std::max(name_width, DisplayWidth(rows.back().name));
    facts_width = std::max(facts_width, DisplayWidth(rows.back().facts));
  }
  const size_t fixed = kIndent + facts_width + 2 * kGap;
  const size_t room = columns - std::min(columns, fixed);
  const size_t bar = std::clamp(room - std::min(room, name_width), kLeastBar, kGreatestBar);
  const size_t names = std::min(name_width, room - std::min(room, bar));
  const size_t used = fixed + names + bar + kGap;
  std::vector<std::string> lines;
  for (const RunningRow& row : rows) {
    if (names < kLeastText) {  // hardly a terminal
      lines.push_back(Cut(absl::StrCat("  ", row.name), columns, style.Ellipsis()));
      continue;
    }
    lines.push_back(absl::StrCat("  ", Padded(Fit(row.name, names, style.Ellipsis()), names), "  ",
                                 style.Bar(row.fraction, bar, Ink::kCyan), "  ", row.facts));
    if (used + kLeastText > columns || row.worker.empty()) continue;
    const std::string worker = Cut(row.worker, columns - used, style.Ellipsis());
    absl::StrAppend(&lines.back(), "  ", style.Paint(Ink::kDim, worker));
  }
  return lines;
}

std::string EndedLine(const v1::Run& run, size_t columns, const Style& style) {
  const bool good = run.state() == v1::RUN_STATE_SUCCEEDED;
  const std::string mark = good ? style.Tick() : style.Cross();
  const std::string span = FormatSpan(run.started_unix_us(), run.ended_unix_us(), 0);
  const bool reused = run.reused_run_id() != 0;
  std::vector<std::string> facts;
  if (!good) facts.push_back(DescribeRun(run));
  if (good && run.has_best()) {
    facts.push_back(absl::StrCat("top-1 ", FormatPercent(run.best().top1(), 2)));
  }
  if (good && (reused || !span.empty())) facts.push_back(reused ? "reused" : span);
  const std::string text = Printable(absl::StrCat(run.name(), "  ", absl::StrJoin(facts, ", ")));
  return absl::StrCat(
      "  ", style.Paint(InkOf(run.state()), mark), " ",
      Cut(text, columns - std::min(columns, 3 + DisplayWidth(mark)), style.Ellipsis()));
}

// Lines of `from`, and at the limit one that says how many more there are.
void AppendLimited(std::vector<std::string> from, size_t limit, std::vector<std::string>* to) {
  if (from.size() > limit) {
    const size_t hidden = from.size() - (limit > 0 ? limit - 1 : 0);
    from.resize(from.size() - hidden);
    if (limit > 0) from.push_back(absl::StrCat("  and ", hidden, " more"));
  }
  std::move(from.begin(), from.end(), std::back_inserter(*to));
}

}  // namespace

std::vector<std::string> RenderProgress(const SweepProgress& progress, const std::string& trouble,
                                        absl::Duration now, const Size& size, const Style& style) {
  std::vector<std::string> lines = {TitleLine(progress, size.columns, style)};
  std::vector<std::string> facts = Counts(progress.sweep());
  for (std::string& part : Pace(progress, now)) facts.push_back(std::move(part));
  lines.push_back(style.Paint(Ink::kDim, Cut(absl::StrCat("  ", absl::StrJoin(facts, style.Dot())),
                                             size.columns, style.Ellipsis())));
  if (!trouble.empty()) {
    lines.push_back(style.Paint(
        Ink::kYellow, Cut(absl::StrCat("  ", Printable(trouble)), size.columns, style.Ellipsis())));
  }
  std::vector<std::string> rest;
  for (const v1::Run& run : progress.ended()) rest.push_back(EndedLine(run, size.columns, style));
  for (const auto& [reason, n] : progress.waiting()) {
    rest.push_back(
        style.Paint(Ink::kDim, Cut(absl::StrCat("  ", n, " waiting: ", Printable(reason)),
                                   size.columns, style.Ellipsis())));
  }
  const size_t rows = size.rows > lines.size() + 1 ? size.rows - lines.size() - 1 : 0;
  const size_t for_running = rows - std::min(rows / 2, rest.size());
  AppendLimited(RunningLines(progress, size.columns, style), for_running, &lines);
  AppendLimited(std::move(rest), size.rows > lines.size() + 1 ? size.rows - lines.size() - 1 : 0,
                &lines);
  return lines;
}

std::string WaitingReason(const SweepProgress& progress) {
  const auto& waiting = progress.waiting();
  return waiting.empty() ? progress.sweep().waiting() : waiting.begin()->first;
}

std::string ProgressLine(const SweepProgress& progress, absl::Duration now) {
  const v1::Sweep& sweep = progress.sweep();
  std::vector<std::string> parts = {
      absl::StrCat(EndedRuns(sweep), "/", Plural(TotalRuns(sweep), "run"))};
  for (std::string& part : Counts(sweep)) parts.push_back(std::move(part));
  for (std::string& part : Pace(progress, now)) parts.push_back(std::move(part));
  const std::string line = absl::StrJoin(parts, ", ");
  const std::string reason = WaitingReason(progress);
  return reason.empty() ? line : absl::StrCat(line, "; waiting: ", reason);
}

}  // namespace qsweep::qctl
