// qctl doctor: what is wrong, or may soon be, with a set-up, and what to do about it.
#include <cmath>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "common/version.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

constexpr double kLargestSkewSeconds = 2;
constexpr int64_t kLittleMemory = 256 << 20;
constexpr int64_t kSoonSeconds = 60 * 24 * 60 * 60;

constexpr char kGood[] = "good";
constexpr char kWarning[] = "warning";
constexpr char kProblem[] = "problem";

class Doctor {
 public:
  // The programs that work together lie together.
  void LookAtPrograms() {
    for (const char* name : {"qscheduler", "qworker", "qtrain"}) {
      const std::string path = JoinPath(ProgramDirectory(), name);
      if (!PathExists(path)) {
        Say(kWarning, name, absl::StrCat("is not beside qctl in ", ProgramDirectory()),
            "`qctl run` needs all four programs in one directory");
        continue;
      }
      const absl::StatusOr<std::string> said = RunForOutput({path, "--version"}, absl::Seconds(30));
      const std::string version(absl::StripSuffix(said.value_or(""), "\n"));
      if (!said.ok()) {
        Say(kProblem, name, std::string(said.status().message()), "install qsweep again");
      } else if (!absl::StrContains(version, kVersion)) {
        Say(kProblem, name, absl::StrCat("is version ", version, ", qctl is ", kVersion),
            "install all of one version");
      } else {
        Say(kGood, name, absl::StrCat("version ", kVersion));
      }
    }
  }

  void LookAtScheduler(const v1::Health& health, int64_t asked_us, int64_t answered_us) {
    if (health.version() != kVersion) {
      Say(kWarning, "scheduler", absl::StrCat("is version ", health.version(), ", qctl ", kVersion),
          "install the same version");
    } else {
      Say(kGood, "scheduler",
          absl::StrCat("version ", health.version(), ", up for ",
                       FormatElapsed(absl::Seconds(health.uptime_s())), ", ",
                       FormatBytes(health.rss_bytes()), " of memory, SQLite ",
                       health.database_engine()));
    }
    LookAtClock(health, asked_us, answered_us);
    LookAtData(health);
    Judge(health.memory_available_bytes() < kLittleMemory, kWarning, "memory",
          absl::StrCat(FormatBytes(health.memory_available_bytes()),
                       " are available to the scheduler"),
          "end something else on its machine, or add memory");
    if (health.certificate_ends_unix_s() > 0) {
      const int64_t left = health.certificate_ends_unix_s() - health.unix_us() / 1'000'000;
      Judge(left < kSoonSeconds, kWarning, "certificate",
            absl::StrCat("good for ", left / 86'400, " more days"),
            "`qscheduler init` while the scheduler is stopped makes a new one");
    }
  }

  // `embedded`: the worker comes and goes with `qctl run`.
  void LookAtWorkers(const v1::ListWorkersReply& workers, bool embedded) {
    if (workers.workers().empty() && embedded) {
      Say(kGood, "workers", "none yet; `qctl run` brings one");
    } else if (workers.workers().empty()) {
      Say(kWarning, "workers", "none has ever connected", kHowWorkersJoin);
    }
    for (const v1::WorkerStatus& worker : workers.workers()) {
      const std::string subject = absl::StrCat("worker ", worker.info().name());
      const std::string seen =
          FormatSpan(worker.last_seen_unix_us(), 0, SystemClock().UnixMicros());
      if (worker.state() != "connected" && embedded) {
        Say(kGood, subject, "not there now; `qctl run` brings it");
      } else if (worker.state() != "connected") {
        Say(kWarning, subject, absl::StrCat(worker.state(), ", last heard of ", seen, " ago"),
            "look at its log; `qworker` there connects it again");
      } else if (worker.info().version() != kVersion) {
        Say(kWarning, subject, absl::StrCat("is version ", worker.info().version()),
            absl::StrCat("install ", kVersion, " there"));
      } else if (!worker.refuses().empty()) {
        Say(kProblem, subject, absl::StrCat("takes no runs: ", worker.refuses()),
            "make room there; it goes on by itself");
      } else if (!worker.remark().empty()) {
        Say(kWarning, subject, worker.remark(), "`qctl explain RUN` says what failed there");
      } else if (worker.draining()) {
        Say(kWarning, subject, "draining: it gets no more runs",
            absl::StrCat("`qctl undrain ", worker.info().name(), "` ends that"));
      } else {
        Say(kGood, subject,
            absl::StrCat("connected, ", worker.running_run_ids_size(), " of ",
                         worker.info().slots(), " slots busy, ",
                         FormatBytes(worker.disk_free_bytes()), " of disk free"));
      }
    }
  }

  void Say(const std::string& state, const std::string& subject, const std::string& text,
           const std::string& remedy = "") {
    v1::Finding* finding = diagnosis_.add_findings();
    finding->set_subject(subject);
    finding->set_state(state);
    finding->set_text(text);
    finding->set_remedy(remedy);
  }

  const v1::Diagnosis& diagnosis() const { return diagnosis_; }

 private:
  void Judge(bool bad, const char* state, const std::string& subject, const std::string& text,
             const std::string& remedy) {
    bad ? Say(state, subject, text, remedy) : Say(kGood, subject, text);
  }

  void LookAtClock(const v1::Health& health, int64_t asked_us, int64_t answered_us) {
    const double skew =
        1e-6 * static_cast<double>(health.unix_us() - (asked_us + (answered_us - asked_us) / 2));
    Judge(std::abs(skew) > kLargestSkewSeconds, kWarning, "clock",
          absl::StrFormat("the scheduler's is %.1f s %s this machine's", std::abs(skew),
                          skew < 0 ? "behind" : "ahead of"),
          "times shown are off, nothing else is; run an NTP client on both machines");
  }

  void LookAtData(const v1::Health& health) {
    const std::string& directory = health.data_directory();
    const int64_t reserve = health.disk_reserve_bytes();
    const std::string free =
        absl::StrCat(FormatBytes(health.disk_free_bytes()), " free for ", directory, ", database ",
                     FormatBytes(health.database_bytes()));
    const std::string remedy = absl::StrCat("make room: below ", FormatBytes(reserve),
                                            " the scheduler takes no new work until there is more");
    Judge(health.disk_free_bytes() < 2 * reserve,
          health.disk_free_bytes() < reserve ? kProblem : kWarning, "disk", free, remedy);
    Judge(health.network_file_system(), kProblem, "file system",
          absl::StrCat(directory, " is on ", health.file_system()),
          "locks and syncs of network file systems are not to be trusted: move the data directory "
          "to a disk of the scheduler's machine");
    Judge(health.readable_by_others(), kWarning, "permissions",
          health.readable_by_others()
              ? absl::StrCat("other users of the machine can look into ", directory)
              : absl::StrCat(directory, " is its owner's alone"),
          absl::StrCat("chmod 700 ", directory));
  }

  v1::Diagnosis diagnosis_;
};

absl::Status LookAtSetup(const GlobalOptions& options, Doctor& doctor) {
  if (options.scheduler.empty() && !PathExists(options.data_dir)) {
    doctor.Say(kGood, "scheduler",
               absl::StrCat("none yet; `qctl run FILE` makes ", options.data_dir));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  const int64_t asked = SystemClock().UnixMicros();
  ASSIGN_OR_RETURN(const v1::Health health, connection->client().GetHealth());
  doctor.LookAtScheduler(health, asked, SystemClock().UnixMicros());
  ASSIGN_OR_RETURN(const v1::ListWorkersReply workers, connection->client().ListWorkers());
  doctor.LookAtWorkers(workers, connection->embedded() != nullptr);
  return absl::OkStatus();
}

void PrintFindings(const v1::Diagnosis& diagnosis) {
  Table table({{""}, {""}, {""}});
  for (const v1::Finding& finding : diagnosis.findings()) {
    const Ink ink = finding.state() == kGood      ? Ink::kGreen
                    : finding.state() == kWarning ? Ink::kYellow
                                                  : Ink::kRed;
    table.AddRow({Cell(finding.state(), ink), finding.subject(), finding.text()});
    if (!finding.remedy().empty()) table.AddRow({"", "", absl::StrCat("→ ", finding.remedy())});
  }
  PrintTable(table);
}

absl::StatusOr<int> Run(const GlobalOptions& options) {
  Doctor doctor;
  doctor.LookAtPrograms();
  if (const absl::Status status = LookAtSetup(options, doctor); !status.ok()) {
    if (absl::IsCancelled(status)) return status;
    // One that answers says itself what is wrong: a token, for instance.
    doctor.Say(kProblem, "scheduler", std::string(status.message()),
               options.scheduler.empty() ? "see scheduler.log in the data directory"
               : IsUnreachable(status)
                   ? "is it running, is the address right, is a firewall between?"
                   : "");
  }
  if (options.json) {
    PrintJson(doctor.diagnosis());
  } else {
    PrintFindings(doctor.diagnosis());
  }
  for (const v1::Finding& finding : doctor.diagnosis().findings()) {
    if (finding.state() == kProblem) return kExitError;
  }
  return kExitGood;
}

}  // namespace

void AddDoctor(CommandLine& line) {
  line.Add("doctor", "say what is wrong with a set-up and what to do about it",
           [&options = line.options] { return Run(options); });
}

}  // namespace qsweep::qctl
