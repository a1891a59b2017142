// An adapter_config.json of any bytes beside good tensors: an error, or an adapter whose scalings
// are numbers.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "common/file.h"
#include "common/status.h"
#include "common/testing/temporary_directory.h"
#include "worker/engine/model/peft_adapter.h"

namespace {

// With the tensors of tests/golden/peft; for the life of the process.
const std::string& Directory() {
  static const qsweep::TemporaryDirectory directory;
  static const bool copied =
      std::filesystem::copy_file(QSWEEP_SOURCE_DIR "/tests/golden/peft/adapter_model.safetensors",
                                 directory.Path("adapter_model.safetensors"));
  QSWEEP_CHECK(copied);
  return directory.path();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  QSWEEP_CHECK(qsweep::WriteFileAtomic(qsweep::JoinPath(Directory(), "adapter_config.json"),
                                       {reinterpret_cast<const char*>(data), size})
                   .ok());
  const auto adapter = qsweep::engine::ReadPeftAdapter(Directory());
  if (!adapter.ok()) return 0;
  for (const auto& [name, module] : adapter->modules) QSWEEP_CHECK(std::isfinite(module.scaling));
  return 0;
}
