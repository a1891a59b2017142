#include "tests/network.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "common/status.h"
#include "common/subprocess.h"

namespace qsweep::testing {
namespace {

constexpr char kThisSpace[] = "/proc/thread-self/ns/net";

absl::Status Shell(const std::vector<std::string>& before, const std::string& command) {
  std::vector<std::string> argv = before;
  argv.insert(argv.end(), {"/bin/sh", "-ec", command});
  return RunForOutput(argv, absl::Seconds(10)).status();
}

absl::Status Here(const std::string& command) { return Shell({}, command); }

std::string SpacePath(const FileDescriptor& space) {
  return absl::StrCat("/proc/", ::getpid(), "/fd/", space.get());
}

absl::StatusOr<FileDescriptor> NewSpace() {
  if (::unshare(CLONE_NEWNET) != 0) {
    return ErrnoStatus(errno, kThisSpace, "make a network namespace");
  }
  FileDescriptor space(::open(kThisSpace, O_RDONLY | O_CLOEXEC));
  if (!space.valid()) return ErrnoStatus(errno, kThisSpace, "open");
  return space;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> Network::Create(const std::vector<std::string>& machines) {
  std::unique_ptr<Network> network(new Network);
  ASSIGN_OR_RETURN(const FileDescriptor own, NewSpace());
  RETURN_IF_ERROR(
      Here(absl::StrCat("ip link set lo up; ip addr add ", kNetworkHost, "/32 dev lo")));
  int number = 0;
  for (const std::string& name : machines) {
    RETURN_IF_ERROR(network->Add(name, ++number, own.get()));
  }
  return network;
}

absl::Status Network::Add(const std::string& name, int number, int own_space) {
  Machine& machine = machines_[name];
  machine.number = number;
  ASSIGN_OR_RETURN(machine.space, NewSpace());
  if (::setns(own_space, CLONE_NEWNET) != 0) return ErrnoStatus(errno, kThisSpace, "go back");
  RETURN_IF_ERROR(
      Here(absl::Substitute("ip link add m$0 address 02:00:00:00:0$0:01 type veth"
                            " peer name eth0 address 02:00:00:00:0$0:02 netns $1;"
                            "ip addr add 10.77.$0.1/24 dev m$0; ip link set m$0 up",
                            number, SpacePath(machine.space))));
  RETURN_IF_ERROR(On(machine, absl::Substitute("ip link set lo up; ip link set eth0 up;"
                                               "ip addr add 10.77.$0.2/24 dev eth0;"
                                               "ip route add default via 10.77.$0.1",
                                               number)));
  return SetNeighbours(machine, /*to_test=*/true, /*from_test=*/true);
}

std::vector<std::string> Network::Enter(const std::string& name) const {
  return {"/usr/bin/nsenter", absl::StrCat("--net=", SpacePath(machines_.at(name).space)), "--"};
}

absl::Status Network::On(const Machine& machine, const std::string& command) const {
  return Shell({"/usr/bin/nsenter", absl::StrCat("--net=", SpacePath(machine.space)), "--"},
               command);
}

// Each side's frames go where its table of neighbours says; those for an interface that is not
// there are lost.
absl::Status Network::SetNeighbours(const Machine& machine, bool to_test, bool from_test) const {
  RETURN_IF_ERROR(On(
      machine, absl::Substitute(
                   "ip neigh replace 10.77.$0.1 lladdr 02:00:00:00:0$0:$1 dev eth0 nud permanent",
                   machine.number, to_test ? "01" : "99")));
  return Here(absl::Substitute(
      "ip neigh replace 10.77.$0.$2 lladdr 02:00:00:00:0$0:$1 dev m$0 nud permanent",
      machine.number, from_test ? "02" : "99", machine.host));
}

absl::Status Network::Cut(const std::string& name, Way way) {
  return SetNeighbours(machines_.at(name), way == Way::kFromTest, way == Way::kToTest);
}

absl::Status Network::Mend(const std::string& name) {
  return SetNeighbours(machines_.at(name), /*to_test=*/true, /*from_test=*/true);
}

absl::Status Network::Throttle(const std::string& name, int kbit) {
  const Machine& machine = machines_.at(name);
  const auto rule = [kbit](const std::string& device) {
    return absl::StrCat("tc qdisc replace dev ", device, " root tbf rate ", kbit,
                        "kbit burst 4kb latency 400ms");
  };
  RETURN_IF_ERROR(On(machine, rule("eth0")));
  return Here(rule(absl::StrCat("m", machine.number)));
}

absl::Status Network::Renumber(const std::string& name) {
  Machine& machine = machines_.at(name);
  // What is sent to the old address must not be answered with an error.
  RETURN_IF_ERROR(SetNeighbours(machine, /*to_test=*/true, /*from_test=*/false));
  ++machine.host;
  RETURN_IF_ERROR(On(machine, absl::Substitute("ip addr add 10.77.$0.$1/24 dev eth0;"
                                               "ip addr del 10.77.$0.$2/24 dev eth0;"
                                               "ip addr replace 10.77.$0.$1/24 dev eth0;"
                                               "ip route replace default via 10.77.$0.1",
                                               machine.number, machine.host, machine.host - 1)));
  return SetNeighbours(machine, /*to_test=*/true, /*from_test=*/true);
}

}  // namespace qsweep::testing
