#include "scheduler/requests.h"

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "common/spec/names.h"
#include "common/status.h"
#include "common/utf8.h"
#include "common/version.h"

namespace qsweep {
namespace {

constexpr size_t kMaxShownBytes = 200;
constexpr size_t kMaxWorkerNameBytes = 200;
constexpr int kMaxSlots = 1024;
constexpr int kMaxListed = 1000;  // models, datasets, devices
constexpr int kMaxFilter = 100;
constexpr int kMaxHeld = 10'000;
constexpr size_t kMaxWorkerInfoBytes = 256 << 10;

absl::Status BadName(absl::string_view what, const std::string& name, const char* rule) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, " '", absl::CHexEscape(name.substr(0, kMaxShownBytes)), "': ", rule));
}

}  // namespace

absl::Status CheckName(absl::string_view what, const std::string& name) {
  return IsName(name) ? absl::OkStatus() : BadName(what, name, kNameRule);
}

absl::Status CheckSweepName(const std::string& name) {
  return IsSweepName(name) ? absl::OkStatus() : BadName("sweep name", name, kSweepNameRule);
}

absl::StatusOr<int64_t> PageSize(int64_t asked, int64_t standard, int64_t most) {
  if (asked >= 0 && asked <= most) return asked == 0 ? standard : asked;
  return absl::InvalidArgumentError(
      absl::StrCat("page size ", asked, ": must be from 1 to ", most, ", or 0 for ", standard));
}

absl::StatusOr<int64_t> PageStart(const std::string& token, int64_t start) {
  int64_t number = start;
  if (token.empty() || (absl::SimpleAtoi(token, &number) && number >= 0)) return number;
  return absl::InvalidArgumentError(absl::StrCat(
      "page token '", absl::CHexEscape(token.substr(0, kMaxShownBytes)), "': not one of ours"));
}

absl::Status CheckFilter(absl::string_view what, int size) {
  if (size <= kMaxFilter) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(size, " ", what, " at once: must be at most ", kMaxFilter));
}

absl::Status CheckHello(const v1::Hello& hello) {
  const v1::WorkerInfo& info = hello.info();
  if (info.protocol() != kProtocol) {
    return absl::FailedPreconditionError(
        absl::StrCat("the worker (qsweep ", info.version(), ") speaks protocol ", info.protocol(),
                     ", this scheduler (qsweep ", kVersion, ") protocol ", kProtocol,
                     "; install the same version on both"));
  }
  RETURN_IF_ERROR(CheckName("worker id", info.id()));
  if (info.name().size() > kMaxWorkerNameBytes || HasControl(info.name())) {
    return BadName("worker name", info.name(),
                   "must be at most 200 bytes without control characters; see qworker --name");
  }
  if (info.slots() < 1 || info.slots() > kMaxSlots) {
    return absl::InvalidArgumentError(
        absl::StrCat("slots: ", info.slots(), "; must be 1 to ", kMaxSlots));
  }
  if (info.memory_bytes() < 0 || info.memory_bytes() > kMaxMachineBytes ||
      info.models_size() > kMaxListed || info.datasets_size() > kMaxListed ||
      hello.held_size() > kMaxHeld || info.ByteSizeLong() > kMaxWorkerInfoBytes) {
    return absl::InvalidArgumentError("hello: says more than a worker can have");
  }
  return absl::OkStatus();
}

}  // namespace qsweep
