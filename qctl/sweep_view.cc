#include "qctl/sweep_view.h"

#include <cstdlib>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "qctl/format.h"
#include "qctl/output.h"
#include "qctl/progress.h"
#include "qctl/progress_view.h"
#include "qctl/terminal.h"

namespace qsweep::qctl {
namespace {

constexpr absl::Duration kSummaryInterval = absl::Seconds(30);

class LiveView : public SweepView {
 public:
  explicit LiveView(std::FILE* file) : file_(file), style_(StyleOf(file)), block_(file) {}
  void Update(const v1::SweepUpdate& update, absl::Duration now) override {
    progress_.Apply(update, now);
    changed_ = true;
  }
  void SetPending(const v1::ListRunsReply& pending) override { progress_.SetPending(pending); }
  void Tick(const std::string& trouble, absl::Duration now) override {
    if (progress_.sweep().id() == 0) return;  // nothing to show yet
    if (!std::exchange(changed_, false) && now - drawn_at_ < absl::Seconds(1)) return;
    drawn_at_ = now;
    block_.Draw(RenderProgress(progress_, trouble, now, SizeOf(file_), style_));
  }

 private:
  std::FILE* file_;
  const Style style_;
  LiveBlock block_;
  SweepProgress progress_;
  bool changed_ = false;
  absl::Duration drawn_at_;
};

class LineView : public SweepView {
 public:
  explicit LineView(std::FILE* file) : file_(file) {}
  void Update(const v1::SweepUpdate& update, absl::Duration now) override {
    const bool first = progress_.sweep().id() == 0;
    progress_.Apply(update, now);
    for (const v1::Run& run : update.changed()) {
      const auto seen = std::make_pair(run.state(), run.attempt());
      const auto [it, added] = seen_.try_emplace(run.id(), seen);
      if (!added && std::exchange(it->second, seen) == seen) continue;
      if (first && run.state() != v1::RUN_STATE_RUNNING) continue;  // old news
      Say(absl::StrCat(run.name(), " ", DescribeRun(run)));
    }
    if (first) Summarize(now);
  }
  void SetPending(const v1::ListRunsReply& pending) override { progress_.SetPending(pending); }
  void Tick(const std::string& trouble, absl::Duration now) override {
    if (std::exchange(trouble_, trouble) != trouble && !trouble.empty()) Say(trouble);
    if (progress_.sweep().id() == 0) return;
    // Where nothing runs, what it waits for is news: once, for some reasons count seconds down.
    const bool stands = progress_.running().empty();
    const std::string reason = WaitingReason(progress_);
    const bool news = stands && !told_ && !reason.empty() && reason != reason_;
    told_ = stands && (told_ || news);
    if (news || now - summarized_at_ >= kSummaryInterval) Summarize(now);
  }

 private:
  void Summarize(absl::Duration now) {
    summarized_at_ = now;
    reason_ = WaitingReason(progress_);
    Say(absl::StrCat(progress_.sweep().name(), ": ", ProgressLine(progress_, now)));
  }
  void Say(absl::string_view text) {
    std::fprintf(file_, "%s %s\n", FormatClock(SystemClock().UnixMicros()).c_str(),
                 Printable(text).c_str());
    std::fflush(file_);
  }

  std::FILE* file_;
  SweepProgress progress_;
  std::map<int64_t, std::pair<v1::RunState, int32_t>> seen_;
  std::string trouble_;
  std::string reason_;  // as last told
  bool told_ = false;   // that it changed since something ran
  absl::Duration summarized_at_;
};

class JsonView : public SweepView {
 public:
  void Update(const v1::SweepUpdate& update, absl::Duration) override { PrintJsonLine(update); }
  void SetPending(const v1::ListRunsReply&) override {}
  void Tick(const std::string&, absl::Duration) override {}
};

}  // namespace

std::unique_ptr<SweepView> MakeSweepView(std::FILE* file) {
  // A live block needs a terminal that understands cursor movement, as one with colour does;
  // NO_COLOR asks for no colour only, so it must not decide here.
  const char* term = std::getenv("TERM");
  const bool live = IsTerminal(file) && term != nullptr && absl::string_view(term) != "dumb";
  if (live) return std::make_unique<LiveView>(file);
  return std::make_unique<LineView>(file);
}

std::unique_ptr<SweepView> MakeJsonView() { return std::make_unique<JsonView>(); }

}  // namespace qsweep::qctl
