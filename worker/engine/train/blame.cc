#include "worker/engine/train/blame.h"

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/engine/base/device.h"
#include "worker/engine/data/dataset.h"

namespace qsweep::engine {
namespace {

constexpr char kPayload[] = "qsweep/blame";

}  // namespace

absl::Status Blamed(const absl::Status& status, v1::Blame blame) {
  if (status.ok() || status.GetPayload(kPayload)) return status;
  absl::Status blamed = status;
  blamed.SetPayload(kPayload, absl::Cord(v1::Blame_Name(blame)));
  return blamed;
}

v1::Blame BlameOf(const absl::Status& status) {
  v1::Blame blame;
  const auto payload = status.GetPayload(kPayload);
  if (payload && v1::Blame_Parse(std::string(*payload), &blame)) return blame;
  return absl::IsInvalidArgument(status) ? v1::BLAME_CONFIG : v1::BLAME_MACHINE;
}

absl::Status CatchExceptions(const std::function<absl::Status()>& body) {
  try {
    return body();
  } catch (const std::bad_alloc& error) {  // OutOfMemory too
    return Blamed(absl::ResourceExhaustedError(error.what()), v1::BLAME_RESOURCES);
  } catch (const ImageError& error) {
    return absl::DataLossError(error.what());
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    if (IsOutOfMemory(error)) {
      return Blamed(absl::ResourceExhaustedError(text), v1::BLAME_RESOURCES);
    }
    // A driver that gave up or a device that fell off its bus, not a wrong operation.
    const v1::Blame blame =
        absl::StrContains(text, "CUDA error") ? v1::BLAME_MACHINE : v1::BLAME_CONFIG;
    return Blamed(absl::InternalError(absl::StrCat("libtorch: ", text)), blame);
  } catch (const std::exception& error) {
    return Blamed(absl::InternalError(absl::StrCat("libtorch: ", error.what())), v1::BLAME_CONFIG);
  }
}

}  // namespace qsweep::engine
