// An adapter_config.json of any bytes beside good tensors: an error, or an adapter whose scalings
// are numbers.
#include <stdlib.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "common/file.h"
#include "common/status.h"
#include "worker/engine/model/peft_adapter.h"

namespace {

// With the tensors of tests/golden/peft; for the life of the process.
const std::string& Directory() {
  static const std::string& directory = *[] {
    auto* path = new std::string(std::filesystem::temp_directory_path() / "adapter-XXXXXX");
    QSWEEP_CHECK(::mkdtemp(path->data()) != nullptr);
    std::filesystem::copy_file(QSWEEP_SOURCE_DIR "/tests/golden/peft/adapter_model.safetensors",
                               *path + "/adapter_model.safetensors");
    ::atexit([] { (void)qsweep::RemoveTree(Directory()); });
    return path;
  }();
  return directory;
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
