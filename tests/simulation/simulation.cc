#include "tests/simulation/simulation.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "common/file.h"
#include "common/status.h"

namespace qsweep::simulation {
namespace {

// Standard error, where the daemons' log goes, leads nowhere while this lives.
class Silence {
 public:
  Silence() : before_(::dup(STDERR_FILENO)) {
    const FileDescriptor nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    QSWEEP_CHECK(before_.valid() && nowhere.valid());
    ::dup2(nowhere.get(), STDERR_FILENO);
  }
  ~Silence() { ::dup2(before_.get(), STDERR_FILENO); }

 private:
  FileDescriptor before_;
};

// In memory where there is such a place: the store syncs every file.
class Directory {
 public:
  Directory() {
    const std::filesystem::path shm = "/dev/shm";
    const bool usable = ::access(shm.c_str(), W_OK) == 0;
    path_ =
        ((usable ? shm : std::filesystem::temp_directory_path()) / "qsweep-sim-XXXXXX").string();
    QSWEEP_CHECK(::mkdtemp(path_.data()) != nullptr);
  }
  ~Directory() { (void)RemoveTree(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

Report Simulate(uint64_t seed, Bug bug, bool log) {
  const Directory directory;
  std::optional<Silence> silence;
  if (!log) silence.emplace();
  World world(seed, bug, directory.path());
  Report report;
  report.status = world.Run();
  report.events = world.timeline().events();
  report.fingerprint = world.timeline().fingerprint();
  return report;
}

}  // namespace qsweep::simulation
