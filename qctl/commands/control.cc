// qctl cancel, retry, pause, resume (of a whole sweep or of one run), drain and undrain (of a
// worker).
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

struct Named {
  std::string sweep;
  std::string run;
};

absl::StatusOr<v1::Target> TargetOf(const Named& named) {
  if (named.sweep.empty() == named.run.empty()) {
    return absl::InvalidArgumentError("name a SWEEP or --run RUN, one of the two");
  }
  v1::Target target;
  if (named.run.empty()) {
    target.set_sweep(named.sweep);
  } else {
    target.set_run(named.run);
  }
  return target;
}

// One of the four commands about runs: the call, and what to say of its reply.
struct RunCommand {
  absl::StatusOr<v1::TargetReply> (Client::*call)(const v1::Target&);
  const char* field;               // of the JSON: how many runs
  const char* done;                // "3 runs " and this
  const char* embedded_hint = "";  // where nothing trains unless someone runs it
};

// Why a command made no difference to any run: how they stand.
absl::StatusOr<std::string> Standing(Client& client, const Named& named) {
  v1::RunState state;
  if (named.run.empty()) {
    ASSIGN_OR_RETURN(const v1::Sweep sweep, client.GetSweep(named.sweep));
    state = SweepState(sweep);
    if (sweep.paused() > 0 && sweep.paused() == sweep.pending()) return "the sweep is paused";
  } else {
    ASSIGN_OR_RETURN(const v1::RunDetail detail, client.GetRun(named.run));
    state = detail.run().state();
    if (detail.run().paused()) return "the run is paused";
  }
  const bool active = state == v1::RUN_STATE_SUCCEEDED || state == v1::RUN_STATE_FAILED;
  return absl::StrCat("the ", named.run.empty() ? "sweep" : "run", active ? " has " : " is ",
                      StateName(state));
}

absl::StatusOr<int> Execute(const GlobalOptions& options, const Named& named,
                            const RunCommand& command) {
  ASSIGN_OR_RETURN(const v1::Target target, TargetOf(named));
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::TargetReply reply, (connection->client().*command.call)(target));
  if (options.json) {
    PrintLine(absl::StrCat("{\n \"", command.field, "\": ", reply.runs(), "\n}"));
  } else {
    std::string why;
    if (reply.runs() == 0) {
      ASSIGN_OR_RETURN(const std::string standing, Standing(connection->client(), named));
      why = absl::StrCat(": ", standing);
    }
    PrintLine(absl::StrCat(Plural(reply.runs(), "run"), " ", command.done, why));
  }
  if (reply.runs() > 0 && connection->embedded() != nullptr && command.embedded_hint[0] != '\0') {
    Note(command.embedded_hint);
  }
  return kExitGood;
}

void Add(CommandLine& line, const std::string& name, const std::string& description,
         const RunCommand& command) {
  auto named = std::make_shared<Named>();
  Command added = line.Add(name, description, [&options = line.options, named, command] {
    return Execute(options, *named, command);
  });
  added.AddOption("SWEEP", &named->sweep, "number or name");
  added.AddOption("--run", &named->run, "one run only: number or SWEEP/NAME");
}

// `runs` says what becomes of those that it has.
int PrintWorker(const GlobalOptions& options, const v1::WorkerStatus& worker,
                absl::string_view runs = "") {
  if (options.json) {
    PrintJson(worker);
  } else if (!worker.draining()) {
    PrintLine(absl::StrCat(Printable(worker.info().name()), " takes runs again"));
  } else {
    PrintLine(absl::StrCat(Printable(worker.info().name()), " gets no more runs; ",
                           Plural(worker.running_run_ids_size(), "run"), " ", runs));
  }
  return kExitGood;
}

absl::StatusOr<int> Drain(const GlobalOptions& options, const v1::DrainRequest& request) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::WorkerStatus worker, connection->client().Drain(request));
  return PrintWorker(options, worker, request.move_runs() ? "being moved" : "still there");
}

absl::StatusOr<int> Undrain(const GlobalOptions& options, const v1::UndrainRequest& request) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::WorkerStatus worker, connection->client().Undrain(request));
  return PrintWorker(options, worker);
}

constexpr char kTrainsNow[] = "`qctl run`, with or without the sweep's file, trains here.";
constexpr char kWorkerHelp[] = "name or id, as `qctl workers` shows";

void AddDrain(CommandLine& line) {
  struct Options {
    v1::DrainRequest request;
    bool move = false;
  };
  auto o = std::make_shared<Options>();
  Command command = line.Add("drain", "give a worker no more runs, until it is undrained",
                             [&options = line.options, o] {
                               o->request.set_move_runs(o->move);
                               return Drain(options, o->request);
                             });
  command.AddOption("WORKER", o->request.mutable_worker(), kWorkerHelp).Required();
  command.AddFlag("--move", &o->move, "its runs write a checkpoint and go elsewhere, too");
}

void AddUndrain(CommandLine& line) {
  auto request = std::make_shared<v1::UndrainRequest>();
  line.Add("undrain", "let a drained worker take runs again",
           [&options = line.options, request] { return Undrain(options, *request); })
      .AddOption("WORKER", request->mutable_worker(), kWorkerHelp)
      .Required();
}

}  // namespace

void AddControl(CommandLine& line) {
  Add(line, "cancel", "cancel what has not ended of a sweep, or one run",
      {&Client::Cancel, "cancelled", "cancelled"});
  Add(line, "retry",
      "try failed and cancelled runs of a sweep again, and those that lost a file, or one run",
      {&Client::Retry, "retried", "to be tried again", kTrainsNow});
  Add(line, "pause", "hold what has not ended of a sweep, or one run, after a checkpoint",
      {&Client::Pause, "paused", "paused"});
  Add(line, "resume", "let paused runs of a sweep, or one run, go on",
      {&Client::Resume, "resumed", "resumed", kTrainsNow});
  AddDrain(line);
  AddUndrain(line);
}

}  // namespace qsweep::qctl
