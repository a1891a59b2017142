#include "tests/simulation/client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "scheduler/core/reactor.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/worker_process.h"

namespace qsweep::simulation {

Client::Client(World& world) : world_(world) {
  Random& random = world.random();
  for (int i = 0; i < 12; ++i) {
    SubmittedCell& cell = pool_.emplace_back();
    cell.name = absl::StrCat("cell-", i);
    cell.spec.dataset = "cifar10";
    cell.spec.memory_bytes = 1 + random.Below(kLargestMemory);
    // Weights come from a cell before it, so that nothing waits for itself.
    if (i > 0 && random.Chance(0.2)) cell.spec.weights_key = pool_[random.Below(i)].spec.key;
    cell.spec.json = absl::StrCat("cell ", random.Next());
    cell.spec.key = Sha256Hex(cell.spec.json);
    world.oracle().AddCell(cell.spec.key, {cell.spec.memory_bytes, cell.spec.weights_key});
  }
}

void Client::Start(Time end) {
  Random& random = world_.random();
  const int sweeps = 2 + static_cast<int>(random.Below(3));
  for (int i = 0; i < sweeps; ++i) {
    auto submission = std::make_shared<Submission>();
    submission->request.set_request_id(absl::StrCat("request-", i));
    submission->request.set_name(submission->request.request_id());
    submission->request.set_priority(static_cast<int32_t>(random.Below(3)));
    for (const SubmittedCell& cell : pool_) {
      if (random.Chance(0.4)) submission->cells.push_back(cell);
    }
    if (submission->cells.empty()) submission->cells.push_back(pool_[0]);
    ++unanswered_;
    world_.timeline().At(random.Within({}, end), [this, submission] { Submit(submission); });
  }
  for (int64_t i = random.Below(12); i > 0; --i) {
    world_.timeline().At(random.Within({}, end), [this] { Meddle(); });
  }
}

void Client::Submit(std::shared_ptr<const Submission> submission) {
  auto reply = std::make_shared<v1::SubmitSweepReply>();
  world_.Call(
      nullptr,
      [submission, reply](Turn& turn) {
        return StoreSubmission(turn, submission->request, submission->cells, reply.get());
      },
      [this, submission, reply](const absl::Status& status) {
        if (!status.ok()) {
          world_.timeline().After(absl::Seconds(1), [this, submission] { Submit(submission); });
          return;
        }
        world_.oracle().OnSubmitted(submission->request.request_id(), reply->sweep_id(),
                                    reply->runs());
        --unanswered_;
      });
}

// Changes what becomes of a run, a whole sweep or a worker. Not repeated: the scheduler need not
// have heard it.
void Client::Meddle() {
  world_.Call(
      nullptr,
      [&world = world_, kind = world_.random().Below(8),
       which = world_.random().Next()](Turn& turn) {
        if (turn.state.sweeps.empty() || world.fair()) return absl::OkStatus();
        auto sweep = turn.state.sweeps.begin();
        std::advance(sweep, which % turn.state.sweeps.size());
        std::vector<RunId> runs = sweep->second.runs;
        if (which % 7 != 0) runs = {runs[which % runs.size()]};
        if (kind == 0) core::OnCancel(turn.state, turn.now, runs, turn.effects);
        if (kind == 1) core::OnRetry(turn.state, turn.now, runs, turn.effects);
        if (kind == 6 || kind == 7) {  // from the beginning, while the old attempt still talks
          core::OnCancel(turn.state, turn.now, runs, turn.effects);
          core::OnRetry(turn.state, turn.now, runs, turn.effects);
        }
        if (kind == 2 || kind == 3) core::OnPause(turn.state, turn.now, runs, turn.effects);
        if (kind == 4) core::OnResume(turn.state, turn.now, runs, turn.effects);
        if (kind == 5 && !turn.state.workers.empty()) {
          auto worker = turn.state.workers.begin();
          std::advance(worker, which % turn.state.workers.size());
          core::OnDrain(turn.state, turn.now, worker->first, /*move_runs=*/which % 2 == 0,
                        turn.effects);
        }
        return absl::OkStatus();
      },
      [](const absl::Status&) {});
}

void Client::LetGo() {
  ++unanswered_;
  world_.Call(
      nullptr,
      [](Turn& turn) {
        for (const auto& [id, sweep] : turn.state.sweeps) {
          core::OnResume(turn.state, turn.now, sweep.runs, turn.effects);
        }
        for (const auto& [id, worker] : turn.state.workers) {
          core::OnUndrain(turn.state, id, turn.effects);
        }
        return absl::OkStatus();
      },
      [this](const absl::Status& status) {
        --unanswered_;
        if (!status.ok()) LetGo();
      });
}

}  // namespace qsweep::simulation
