// A checkpoint of any bytes: an error, or one that restores a parameter or says why not.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status.h"
#include "worker/engine/train/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const qsweep::FileDescriptor fd(::memfd_create("checkpoint.safetensors", MFD_CLOEXEC));
  const std::string path = absl::StrCat("/proc/self/fd/", fd.get());
  QSWEEP_CHECK(qsweep::WriteAll(fd.get(), {reinterpret_cast<const char*>(data), size}, path).ok());
  const auto checkpoint = qsweep::engine::ReadCheckpoint(path, "fuzz");
  if (!checkpoint.ok()) {
    QSWEEP_CHECK(!checkpoint.status().message().empty());
    return 0;
  }
  qsweep::engine::AdamW::Slot slot;
  slot.parameter.name = "head.weight";
  slot.parameter.value = at::zeros({2, 3});
  slot.gradient = slot.first_moment = slot.second_moment = at::zeros({2, 3});
  (void)qsweep::engine::RestoreTensors(*checkpoint, {slot}, qsweep::engine::MakeBestValues({slot}));
  return 0;
}
