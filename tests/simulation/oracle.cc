#include "tests/simulation/oracle.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "storage/artifacts.h"
#include "storage/database.h"
#include "storage/runs.h"
#include "storage/sweeps.h"
#include "tests/simulation/scheduler_process.h"
#include "tests/simulation/worker_process.h"

namespace qsweep::simulation {
namespace {

// A round may come this much after the time it was due at.
constexpr absl::Duration kGrace = absl::Seconds(1);

std::string Tag(RunId run) { return absl::StrCat("run ", run.value(), ": "); }

}  // namespace

storage::Database& Oracle::database() { return world_.scheduler().database(); }

void Oracle::Check(bool holds, const std::string& what) {
  if (!holds) world_.Violated(what);
}

// The first column of the first row.
template <typename... Args>
static int64_t Number(storage::Database& database, absl::string_view sql, const Args&... args) {
  storage::Statement query(database, sql, args...);
  const auto row = query.Step();
  return row.ok() && *row ? query.Int(0) : -1;
}

void Oracle::OnSubmitted(const std::string& request_id, int64_t sweep, int runs) {
  const auto [it, added] = submitted_.emplace(request_id, std::pair(sweep, runs));
  Check(added || it->second == std::pair(sweep, runs),
        absl::StrCat("request ", request_id, " was answered with sweep ", it->second.first,
                     " and then with ", sweep));
}

std::string Oracle::OnAssign(const v1::Assign& assign, int64_t* memory_bytes) {
  const std::string key = Sha256Hex(assign.spec_json());
  const CellFacts& cell = cells_.at(key);
  *memory_bytes = cell.memory_bytes;
  const std::string tag = Tag(RunId(assign.attempt().run_id()));
  Check(assign.has_resume_from() == (assign.resume_step() > 0), tag + "where to go on is unclear");
  if (assign.has_resume_from()) {
    Check(assign.resume_from().sha256() == Sha256Hex(CheckpointContent(key, assign.resume_step())),
          tag + "is to go on from another step's checkpoint");
  }
  Check(assign.has_weights() == !cell.weights_key.empty(), tag + "lacks its weights");
  if (assign.has_weights()) {
    Check(assign.weights().sha256() == Sha256Hex(ProductContent(cell.weights_key)),
          tag + "gets other weights than it names");
  }
  return key;
}

int64_t Oracle::StepOf(const std::string& checkpoint_name) {
  int64_t step = 0;
  const size_t begin = checkpoint_name.find('-') + 1;
  (void)absl::SimpleAtoi(checkpoint_name.substr(begin, checkpoint_name.find('.') - begin), &step);
  return step;
}

void Oracle::OnAcknowledged(const AttemptId& attempt, const std::string& key,
                            const std::vector<v1::Event>& log, uint64_t records) {
  uint64_t& known = acknowledged_[attempt];
  for (; known < std::min<uint64_t>(records, log.size()); ++known) {
    if (!log[known].has_metrics()) continue;
    const int64_t step = log[known].metrics().step();
    points_.push_back({attempt, step, Loss(key, step)});
    CheckPoint(points_.back());
  }
}

// Where the run has it, or, once another attempt went on from before it, set apart.
void Oracle::CheckPoint(const Point& point) {
  const int64_t found =
      Number(database(),
             "SELECT (SELECT count(*) FROM metrics WHERE run_id = ?1 AND name = 'loss' AND "
             "step = ?2 AND attempt = ?3 AND value = ?4) + (SELECT count(*) FROM "
             "superseded_metrics WHERE run_id = ?1 AND name = 'loss' AND step = ?2 AND "
             "attempt = ?3 AND value = ?4)",
             point.attempt.run, point.step, point.attempt.number, point.loss);
  Check(found == 1,
        absl::StrCat(Tag(point.attempt.run), "attempt ", point.attempt.number.value(), ": step ",
                     point.step, " was acknowledged and is stored ", found, " times"));
}

void Oracle::AfterCommit() {
  const Time now = world_.timeline().now();
  resumed_at_ = std::min(resumed_at_, now);
  const Time gap = now - last_commit_;
  if (gap > kLease / 3) {  // the scheduler stood still: that counts for nobody
    resumed_at_ += gap;
    for (auto& [worker, time] : heard_) time += gap;
  }
  for (const std::string& worker : contacts_) heard_[worker] = now;
  contacts_.clear();
  last_commit_ = now;
  CheckRuns();
  CheckSubmissions();
  CheckFence();
  CheckMemory();
  CheckOwners();
}

// Rows and memory agree; a run has one live attempt while it runs, else none; a result that was
// accepted stays.
void Oracle::CheckRuns() {
  storage::Statement query(
      database(),
      "SELECT id, state, attempt, coalesce(reused_run_id, 0), "
      "(SELECT count(*) FROM attempts WHERE run_id = runs.id AND outcome = 'running'), "
      "(SELECT attempt FROM results WHERE run_id = runs.id AND result_json <> '') FROM runs");
  for (auto row = query.Step(); row.ok() && *row; row = query.Step()) {
    const RunId id(query.Int(0));
    const core::Run* run = core::FindRun(world_.scheduler().state(), id);
    if (run == nullptr) return world_.Violated(Tag(id) + "is stored, but not known");
    const std::string state = query.Text(1);
    const bool running = state == "running";
    Check(running == (run->state == v1::RUN_STATE_RUNNING), Tag(id) + "is stored in another state");
    Check(query.Int(2) == run->attempt.value(), Tag(id) + "is stored with another attempt");
    Check(query.Int(4) == (running ? 1 : 0),
          absl::StrCat(Tag(id), state, " with ", query.Int(4), " live attempts"));
    if (state == "succeeded" && query.Int(3) == 0) {
      const int64_t by = query.Int(5);
      const auto [it, added] = accepted_.emplace(id, by);
      Check(it->second == by && by == run->attempt.value(),
            absl::StrCat(Tag(id), "the result of attempt ", it->second, " was replaced by ", by));
    } else {
      Check(accepted_.count(id) == 0, Tag(id) + "had succeeded and has not any more");
    }
  }
}

void Oracle::CheckSubmissions() {
  for (const auto& [request, sweep] : submitted_) {
    const int64_t id = Number(database(), "SELECT id FROM sweeps WHERE request_id = ?", request);
    const int64_t runs =
        Number(database(), "SELECT count(*) FROM runs WHERE sweep_id = ?", sweep.first);
    Check(id == sweep.first && runs == sweep.second,
          absl::StrCat("request ", request, " made sweep ", sweep.first, " of ", sweep.second,
                       " runs; stored is sweep ", id, " of ", runs));
    Check(Number(database(), "SELECT count(*) FROM sweeps WHERE name = ?", request) == 1,
          absl::StrCat("request ", request, " made two sweeps"));
  }
}

// An attempt ends as its own worker said, and every attempt writes its number beside its loss.
void Oracle::CheckFence() {
  storage::Statement query(database(),
                           "SELECT run_id, number FROM attempts WHERE outcome = 'succeeded' OR "
                           "(outcome = 'failed' AND error NOT LIKE 'hung:%')");
  for (auto row = query.Step(); row.ok() && *row; row = query.Step()) {
    const AttemptId id{RunId(query.Int(0)), AttemptNumber(query.Int32(1))};
    Check(ends_sent_.count(id) > 0, absl::StrCat(Tag(id.run), "attempt ", id.number.value(),
                                                 " ended by what another one said"));
  }
  for (const auto& [id, sweep] : world_.scheduler().state().sweeps) {
    for (const RunId run : sweep.runs) {
      const uint64_t offset = core::FindRun(world_.scheduler().state(), run)->acked_offset;
      if (std::exchange(offsets_[run], offset) == offset) continue;
      Check(Number(database(),
                   "SELECT count(*) FROM metrics WHERE run_id = ? AND name = 'by_attempt' AND "
                   "value <> attempt",
                   run) == 0,
            Tag(run) + "what an old attempt said was taken");
    }
  }
}

void Oracle::CheckMemory() {
  const core::State& state = world_.scheduler().state();
  for (const auto& [id, worker] : state.workers) {
    int64_t bytes = 0;
    for (const RunId id : worker.running) {
      const core::Run& run = state.runs.at(id);
      bytes += run.memory_bytes;
      Check(run.memory_bytes >= cells_.at(run.key).memory_bytes, Tag(id) + "is given too little");
    }
    Check(bytes <= worker.info.memory_bytes() &&
              worker.running.size() <= static_cast<size_t>(worker.info.slots()),
          absl::StrCat(id.value(), ": is given more than it has"));
  }
}

void Oracle::CheckOwners() {
  const Time now = world_.timeline().now();
  for (const auto& [id, worker] : world_.scheduler().state().workers) {
    if (worker.running.empty()) continue;
    const Time heard = std::max(heard_[id.value()], resumed_at_);
    Check(now - heard <= kLease + kGrace,
          absl::StrCat(id.value(), ": silent for ", absl::FormatDuration(now - heard),
                       ", and its runs still show as running"));
  }
}

void Oracle::AfterRecovery() {
  heard_.clear();
  contacts_.clear();
  last_commit_ = world_.timeline().now();
  resumed_at_ = absl::InfiniteDuration();
  for (const Point& point : points_) CheckPoint(point);
}

void Oracle::CheckResult(RunId run, const std::string& key) {
  const int64_t steps = TotalSteps(key);
  Check(!FailsByConfig(key), Tag(run) + "succeeded, though its config is bad");
  for (int64_t step = 1; step <= steps; ++step) {
    Check(Number(database(),
                 "SELECT count(*) FROM metrics WHERE run_id = ? AND name = 'loss' AND step = ? "
                 "AND value = ?",
                 run, step, Loss(key, step)) == 1,
          absl::StrCat(Tag(run), "step ", step, " is not what it should be"));
  }
  Check(Number(database(), "SELECT count(*) FROM metrics WHERE run_id = ? AND name = 'loss'",
               run) == steps,
        Tag(run) + "has steps that it never made");
  Check(world_.scheduler().artifacts().Open(Sha256Hex(ProductContent(key))).ok(),
        Tag(run) + "its product is not in the store");
}

void Oracle::AtEnd() {
  for (const Point& point : points_) CheckPoint(point);
  const core::State& state = world_.scheduler().state();
  for (const auto& [id, sweep] : state.sweeps) {
    Check(!sweep.open(), absl::StrCat("sweep ", id.value(), " has not ended"));
    for (const RunId run : sweep.runs) {
      if (accepted_.count(run) > 0) CheckResult(run, state.runs.at(run).key);
    }
  }
  Check(Number(database(),
               "SELECT count(*) FROM artifacts WHERE sha256 NOT IN "
               "(SELECT sha256 FROM artifact_refs WHERE role <> 'upload')") == 0,
        "content that nobody needs is kept");
  const auto referenced = storage::ListArtifacts(database());
  std::set<std::string> wanted;
  for (const storage::ArtifactRow& row : *referenced) wanted.insert(row.sha256);
  size_t files = 0;
  (void)world_.scheduler().artifacts().SetOrphansAside([&](const std::string& sha) {
    ++files;
    Check(wanted.count(sha) > 0, absl::StrCat("the file ", sha, " is an orphan"));
    return true;
  });
  Check(files == wanted.size(), "files are missing in the store");
}

}  // namespace qsweep::simulation
