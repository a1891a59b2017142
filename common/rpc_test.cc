#include "common/rpc.h"

#include <gtest/gtest.h>

namespace qsweep {
namespace {

TEST(GrpcStatus, KeepsCodeAndMessageBothWays) {
  const absl::Status status = FromGrpc(ToGrpc(absl::NotFoundError("gone")));
  EXPECT_EQ(status, absl::NotFoundError("gone"));
  EXPECT_TRUE(FromGrpc(ToGrpc(absl::OkStatus())).ok());
}

}  // namespace
}  // namespace qsweep
