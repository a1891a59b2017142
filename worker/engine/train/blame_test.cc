#include "worker/engine/train/blame.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status.h"
#include "worker/engine/base/allocator.h"

namespace qsweep::engine {
namespace {

using testing::HasSubstr;

TEST(BlameTest, FollowsTheCodeUnlessItIsSaid) {
  EXPECT_EQ(BlameOf(absl::InvalidArgumentError("x")), v1::BLAME_CONFIG);
  EXPECT_EQ(BlameOf(absl::NotFoundError("x")), v1::BLAME_MACHINE);
  EXPECT_EQ(BlameOf(absl::ResourceExhaustedError("no space left")), v1::BLAME_MACHINE);
  const absl::Status said = Blamed(absl::InternalError("x"), v1::BLAME_RESOURCES);
  EXPECT_EQ(BlameOf(said), v1::BLAME_RESOURCES);
  EXPECT_EQ(BlameOf(Blamed(said, v1::BLAME_MACHINE)), v1::BLAME_RESOURCES);
}

TEST(BlameTest, ExceptionsEndHere) {
  const absl::Status memory =
      CatchExceptions([]() -> absl::Status { throw OutOfMemory(10, 20, 25); });
  EXPECT_EQ(BlameOf(memory), v1::BLAME_RESOURCES);
  const absl::Status torch_error = CatchExceptions([]() -> absl::Status {
    at::mm(at::ones({2, 3}), at::ones({2, 3}));
    return absl::OkStatus();
  });
  EXPECT_EQ(BlameOf(torch_error), v1::BLAME_CONFIG);
  EXPECT_THAT(std::string(torch_error.message()), HasSubstr("shapes cannot be multiplied"));
  const auto cuda = [](const char* text) {
    return BlameOf(CatchExceptions([text]() -> absl::Status { TORCH_CHECK(false, text); }));
  };
  EXPECT_EQ(cuda("CUDA error: an illegal memory access was encountered"), v1::BLAME_MACHINE);
  EXPECT_EQ(cuda("CUDA error: out of memory\nCUDA kernel errors"), v1::BLAME_RESOURCES);
  EXPECT_EQ(cuda("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), v1::BLAME_RESOURCES);
}

}  // namespace
}  // namespace qsweep::engine
