// qctl cancel, retry, pause, resume (of a whole sweep or of one run), drain and undrain (of a
// worker).
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

struct Target {
  std::string sweep;
  std::string run;
};

template <typename Request>
absl::StatusOr<Request> MakeRequest(const Target& target) {
  if (target.sweep.empty() == target.run.empty()) {
    return absl::InvalidArgumentError("name a SWEEP or --run RUN, one of the two");
  }
  Request request;
  if (target.run.empty()) {
    request.set_sweep(target.sweep);
  } else {
    request.set_run(target.run);
  }
  return request;
}

// One of the four commands about runs: the call, and what to say of its reply.
template <typename Request, typename Reply>
struct RunCommand {
  absl::StatusOr<Reply> (Client::*call)(const Request&);
  int32_t (Reply::*count)() const;
  const char* done;                // "3 runs " and this
  const char* embedded_hint = "";  // where nothing trains unless someone runs it
};

template <typename Request, typename Reply>
absl::StatusOr<int> Execute(const GlobalOptions& options, const Target& target,
                            const RunCommand<Request, Reply>& command) {
  ASSIGN_OR_RETURN(const Request request, MakeRequest<Request>(target));
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const Reply reply, (connection->client().*command.call)(request));
  const int32_t count = (reply.*command.count)();
  if (options.json) {
    PrintJson(reply);
  } else {
    PrintLine(absl::StrCat(Plural(count, "run"), " ", command.done));
  }
  if (count > 0 && connection->embedded() != nullptr && command.embedded_hint[0] != '\0') {
    Note(command.embedded_hint);
  }
  return kExitGood;
}

template <typename Request, typename Reply>
void Add(CommandLine& line, const std::string& name, const std::string& description,
         RunCommand<Request, Reply> command) {
  auto target = std::make_shared<Target>();
  Command added = line.Add(name, description, [&options = line.options, target, command] {
    return Execute(options, *target, command);
  });
  added.AddOption("SWEEP", &target->sweep, "number or name");
  added.AddOption("--run", &target->run, "one run only: number or SWEEP/NAME");
}

int PrintWorker(const GlobalOptions& options, const v1::WorkerStatus& worker) {
  if (options.json) {
    PrintJson(worker);
  } else if (!worker.draining()) {
    PrintLine(absl::StrCat(Printable(worker.info().name()), " takes runs again"));
  } else {
    PrintLine(absl::StrCat(Printable(worker.info().name()), " gets no more runs; ",
                           Plural(worker.running_run_ids_size(), "run"), " still there"));
  }
  return kExitGood;
}

absl::StatusOr<int> Drain(const GlobalOptions& options, const v1::DrainRequest& request) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::WorkerStatus worker, connection->client().Drain(request));
  return PrintWorker(options, worker);
}

absl::StatusOr<int> Undrain(const GlobalOptions& options, const v1::UndrainRequest& request) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::WorkerStatus worker, connection->client().Undrain(request));
  return PrintWorker(options, worker);
}

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
  constexpr char kTrainsNow[] = "`qctl run`, with or without the sweep's file, trains here.";
  Add(line, "cancel", "cancel what has not ended of a sweep, or one run",
      RunCommand<v1::CancelRequest, v1::CancelReply>{&Client::Cancel, &v1::CancelReply::cancelled,
                                                     "cancelled"});
  Add(line, "retry", "try failed and cancelled runs of a sweep again, or one run",
      RunCommand<v1::RetryRequest, v1::RetryReply>{&Client::Retry, &v1::RetryReply::retried,
                                                   "to be tried again", kTrainsNow});
  Add(line, "pause", "hold what has not ended of a sweep, or one run, after a checkpoint",
      RunCommand<v1::PauseRequest, v1::PauseReply>{&Client::Pause, &v1::PauseReply::paused,
                                                   "paused"});
  Add(line, "resume", "let paused runs of a sweep, or one run, go on",
      RunCommand<v1::ResumeRequest, v1::ResumeReply>{&Client::Resume, &v1::ResumeReply::resumed,
                                                     "resumed", kTrainsNow});
  AddDrain(line);
  AddUndrain(line);
}

}  // namespace qsweep::qctl
