#include "worker/engine/base/device.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "worker/engine/base/allocator.h"
#ifdef QSWEEP_CUDA
#include "worker/engine/base/cuda_memory.h"
#endif

namespace qsweep::engine {
namespace {

struct Chosen {
  c10::Device device = c10::kCPU;
  std::string name = "cpu";
};

Chosen& TheDevice() {
  static Chosen chosen;
  return chosen;
}

#ifndef QSWEEP_CUDA
absl::StatusOr<std::unique_ptr<DeviceMemory>> MakeCudaMemory(c10::DeviceIndex) {
  return absl::UnavailableError(
      "this qtrain cannot: the libtorch that it was built with is for the CPU alone; build qsweep "
      "with a libtorch for CUDA");
}
#endif

absl::StatusOr<c10::Device> ParseDevice(const std::string& name) {
  try {
    const c10::Device device(name);
    // Of an index beyond a byte libtorch takes the low one.
    if ((device.is_cpu() || device.is_cuda()) && device.str() == name) return device;
  } catch (const c10::Error&) {
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", name, "\" is no device: cpu, cuda or, of several, cuda:1"));
}

}  // namespace

absl::Status UseDevice(const std::string& name) {
  ASSIGN_OR_RETURN(const c10::Device device, ParseDevice(name));
  if (device.is_cpu()) return absl::OkStatus();
  const c10::DeviceIndex index = device.has_index() ? device.index() : 0;
  absl::StatusOr<std::unique_ptr<DeviceMemory>> memory = MakeCudaMemory(index);
  if (!memory.ok()) return Annotate(memory.status(), name);
  UseDevice({device.type(), index}, *std::move(memory));
  return absl::OkStatus();
}

void UseDevice(c10::Device device, std::unique_ptr<DeviceMemory> memory) {
  TheDevice() = {device, memory ? memory->DeviceName() : "cpu"};
  CountDevice(std::move(memory));
}

c10::Device ComputeDevice() { return TheDevice().device; }

std::string ComputeDeviceName() { return TheDevice().name; }

bool IsOutOfMemory(const c10::Error& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  // CUDA's own needs: kernels, which it loads when they are first called, and cuBLAS.
  const std::string text = error.what_without_backtrace();
  return absl::StrContains(text, "CUDA error: out of memory") ||
         absl::StrContains(text, "CUBLAS_STATUS_ALLOC_FAILED");
}

}  // namespace qsweep::engine
