#include "worker/engine/base/cpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace qsweep::engine {
namespace {

// The kernel's own list is the independent witness.
TEST(Cpu, AgreesWithTheKernel) {
  std::ifstream file("/proc/cpuinfo");
  std::stringstream text;
  text << file.rdbuf();
  const auto kernel_has = [&](const std::string& flag) {
    return text.str().find(" " + flag) != std::string::npos;
  };
  EXPECT_EQ(CpuHas("avx2"), kernel_has("avx2") && kernel_has("fma") && kernel_has("f16c"));
  EXPECT_EQ(CpuHas("avx512"), kernel_has("avx512f") && kernel_has("avx512bw") &&
                                  kernel_has("avx512dq") && kernel_has("avx512vl"));
  EXPECT_EQ(CpuHas("avx512_bf16"), kernel_has("avx512_bf16"));
  EXPECT_EQ(CpuHas("avx512_vnni"), kernel_has("avx512_vnni"));
  EXPECT_EQ(CpuHas("amx_bf16"), kernel_has("amx_bf16"));
  EXPECT_EQ(CpuHas("amx_int8"), kernel_has("amx_int8"));
  EXPECT_FALSE(CpuHas("altivec"));
  const std::string model = CpuModel();  // of an Arm processor "Arm 0x41:0xd0c"
  EXPECT_THAT(text.str(), testing::HasSubstr(model.substr(model.rfind(':') + 1)));
}

}  // namespace
}  // namespace qsweep::engine
