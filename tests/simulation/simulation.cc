#include "tests/simulation/simulation.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "common/file.h"
#include "common/status.h"
#include "common/testing/temporary_directory.h"

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
std::string FastestPlace() {
  const std::string shm = "/dev/shm";
  return ::access(shm.c_str(), W_OK) == 0 ? shm : std::filesystem::temp_directory_path().string();
}

}  // namespace

Report Simulate(uint64_t seed, Bug bug, bool log) {
  const TemporaryDirectory directory(FastestPlace());
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
