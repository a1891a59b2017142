// qctl fetch model NAME, qctl fetch dataset NAME: from their public homes to where runs look for
// them.
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/fetch/catalog.h"
#include "qctl/fetch/unpack.h"
#include "qctl/format.h"
#include "qctl/interrupt.h"

namespace qsweep::qctl {
namespace {

constexpr int64_t kMaxUnpackedBytes = int64_t{4} << 30;

struct Options {
  std::string name, root, mirror;
  bool force = false;
};

// A line on a terminal, redrawn five times a second; else nothing until the file is there.
class ProgressLine {
 public:
  explicit ProgressLine(std::string name)
      : name_(std::move(name)), shown_(IsTerminal(stderr)), block_(stderr) {}
  bool operator()(int64_t done, int64_t total) {
    if (Interrupts() > 0) return false;
    const absl::Duration now = SystemClock().Monotonic();
    if (first_ < 0) first_ = done;
    if (!shown_ || (drawn_ && now - last_ < absl::Milliseconds(200))) return true;
    if (!drawn_) begin_ = now;
    drawn_ = true;
    last_ = now;
    const double seconds = absl::ToDoubleSeconds(now - begin_);
    const double rate = seconds > 0 ? static_cast<double>(done - first_) / seconds : 0;
    block_.Draw(
        {absl::StrFormat("%s  %.1f%s MB  %.1f MB/s", name_, Mb(done),
                         total > 0 ? absl::StrFormat(" of %.1f", Mb(total)) : "", rate / 1e6)});
    return true;
  }
  void Say(absl::string_view text) {
    block_.Close();
    Note(text);
  }

 private:
  static double Mb(int64_t bytes) { return static_cast<double>(bytes) / 1e6; }
  const std::string name_;
  const bool shown_;
  LiveBlock block_;
  bool drawn_ = false;
  int64_t first_ = -1;
  absl::Duration begin_, last_;
};

bool IsThere(const std::string& place, const Options& options) {
  if (options.force || !PathExists(place)) return false;
  PrintLine(absl::StrCat(place, ": there already; --force fetches it anew"));
  return true;
}

absl::Status FetchTo(const std::string& place, const CatalogFile& file) {
  const bool archive = !file.members.empty();
  ProgressLine progress(file.path);
  Download download;
  download.url = file.url;
  download.destination = archive ? place + ".tar.gz" : place;
  download.checksum = file.checksum;
  download.check = file.check;
  download.progress = [&progress](int64_t done, int64_t total) { return progress(done, total); };
  download.retry = [&progress](const absl::Status& why, absl::Duration wait) {
    progress.Say(absl::StrCat(why.message(), "; tries again in ", absl::FormatDuration(wait)));
  };
  // An archive for which there was no room lies there still.
  if (!archive || !Matches(download.destination, file.checksum)) {
    ASSIGN_OR_RETURN(const Downloaded downloaded, Fetch(download));
    PrintLine(absl::StrFormat(
        "%s: %.1f MB, %s", download.destination, static_cast<double>(downloaded.bytes) / 1e6,
        downloaded.checked ? "checksum right" : "no checksum known to compare it with"));
  }
  if (!archive) return absl::OkStatus();
  const absl::Status unpacked =
      UnpackMembers(download.destination, file.members, place, kMaxUnpackedBytes);
  // Kept only if the disk or a permission is at fault.
  if (unpacked.ok() || absl::IsDataLoss(unpacked)) {
    RETURN_IF_ERROR(RemoveTree(download.destination));
  }
  RETURN_IF_ERROR(unpacked);
  PrintLine(absl::StrCat(place, ": ", file.members.size(), " files"));
  return absl::OkStatus();
}

// One process at a time, until all is in its place: what is being unpacked is not on its own.
absl::Status FetchFile(const CatalogFile& file, const Options& options) {
  const std::string place = JoinPath(options.root, file.path);
  if (IsThere(place, options)) return absl::OkStatus();
  const std::string lock = place + ".lock";
  ASSIGN_OR_RETURN(const FileDescriptor held, OpenAlone(lock));
  const absl::Cleanup remove = [&lock] { ::unlink(lock.c_str()); };
  if (IsThere(place, options)) return absl::OkStatus();  // by another process, just before the lock
  return FetchTo(place, file);
}

absl::StatusOr<int> FetchAll(const absl::StatusOr<std::vector<CatalogFile>>& files,
                             const Options& options) {
  RETURN_IF_ERROR(files.status());
  for (const CatalogFile& file : *files) RETURN_IF_ERROR(FetchFile(file, options));
  return kExitGood;
}

absl::StatusOr<int> FetchModel(const Options& options) {
  const char* const endpoint = std::getenv("HF_ENDPOINT");
  return FetchAll(FilesOfModel(options.name, endpoint == nullptr ? "" : endpoint, options.mirror),
                  options);
}

absl::StatusOr<int> FetchDataset(const Options& options) {
  return FetchAll(FilesOfDataset(options.name, options.mirror), options);
}

}  // namespace

void AddFetch(CommandLine& line) {
  Command fetch = line.program.AddCommand("fetch", "download a model's weights or a dataset");
  const auto add = [&](const char* kind, const char* description, const char* root_option,
                       const char* root, absl::StatusOr<int> (*work)(const Options&)) {
    const auto o = std::make_shared<Options>();
    o->root = root;
    Command command = line.Add(
        kind, description, [o, work] { return work(*o); }, &fetch);
    command.AddOption("NAME", &o->name, absl::StrCat("name of the ", kind)).Required();
    command.AddOption(root_option, &o->root, "where it is put");
    command.AddOption("--mirror", &o->mirror, "http(s) address in place of its home's");
    command.AddFlag("--force", &o->force, "fetch it even if it is there");
  };
  add("model", "timm's weights, from huggingface.co or $HF_ENDPOINT", "--model-root", "./models",
      &FetchModel);
  add("dataset", "cifar10, cifar100 or fashion_mnist", "--data-root", "./data", &FetchDataset);
}

}  // namespace qsweep::qctl
