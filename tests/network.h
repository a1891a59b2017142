// A network for tests: machines in network namespaces, each with a cable to the test's own, which
// can be cut without either end being told. Needs root and `ip` and `tc` of iproute2.
#ifndef QSWEEP_TESTS_NETWORK_H_
#define QSWEEP_TESTS_NETWORK_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"

namespace qsweep::testing {

// Where the test, and the scheduler that it starts, can be reached from every machine.
inline constexpr char kNetworkHost[] = "10.77.0.1";

// Goes with the process that made it.
class Network {
 public:
  // Puts this process into a namespace of its own, so call it before there are other threads, and
  // once. An error says why there can be no such network here.
  static absl::StatusOr<std::unique_ptr<Network>> Create(const std::vector<std::string>& machines);

  // What stands before a command line that is to run on the machine.
  std::vector<std::string> Enter(const std::string& machine) const;

  enum class Way { kBoth, kToTest, kFromTest };
  // Whatever is sent that way is lost, silently.
  absl::Status Cut(const std::string& machine, Way way);
  absl::Status Mend(const std::string& machine);
  // Both ways, in kbit/s.
  absl::Status Throttle(const std::string& machine, int kbit);
  // Another address: connections of the old one are dead and nobody is told, new ones are fine; as
  // with an address translation that has forgotten a connection.
  absl::Status Renumber(const std::string& machine);

 private:
  struct Machine {
    int number = 0;
    int host = 2;  // last part of its address
    FileDescriptor space;
  };
  Network() = default;
  absl::Status Add(const std::string& name, int number, int own_space);
  // A shell's command line on the machine.
  absl::Status On(const Machine& machine, const std::string& command) const;
  absl::Status SetNeighbours(const Machine& machine, bool to_test, bool from_test) const;

  std::map<std::string, Machine> machines_;
};

}  // namespace qsweep::testing

#endif  // QSWEEP_TESTS_NETWORK_H_
