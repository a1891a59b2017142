// What the program finds on its machine, and measures there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/proto_json.h"
#include "qsweep/v1/trainer.pb.h"
#include "qsweep/v1/worker.pb.h"
#include "worker/engine/qtrain/qtrain_fixture.h"

namespace qsweep::engine {
namespace {

using testing::Contains;

class MachineTest : public QtrainTest {
 protected:
  // What `qtrain bench` with this spec reports, called as argv.
  v1::BenchReport Bench(std::vector<std::string> argv) const {
    argv.insert(argv.end(), {"--spec", spec_file_});
    const auto output = RunForOutput(argv, absl::Minutes(2));
    EXPECT_TRUE(output.ok()) << output.status();
    v1::BenchReport report;
    EXPECT_TRUE(FromJson(output.value_or(""), &report).ok()) << output.value_or("");
    return report;
  }
};

TEST_F(MachineTest, ProbeSaysWhatThereIs) {
  const auto output = Call({"probe"});
  ASSERT_TRUE(output.ok()) << output.status();
  v1::WorkerInfo info;
  ASSERT_TRUE(FromJson(*output, &info).ok()) << *output;
  EXPECT_GE(info.cores(), 1);
  EXPECT_THAT(info.datasets(), Contains("fashion_mnist"));
}

// libgomp binds the first thread when it is loaded, before qtrain starts itself anew.
TEST_F(MachineTest, KnowsAllProcessorsThoughItsThreadIsBound) {
  const auto cores = [](std::vector<std::string> argv) {
    const auto output = RunForOutput(argv, absl::Minutes(1));
    EXPECT_TRUE(output.ok()) << output.status();
    v1::WorkerInfo info;
    EXPECT_TRUE(FromJson(output.value_or(""), &info).ok());
    return info.cores();
  };
  const int here = cores({kProgram, "probe"});
  EXPECT_EQ(cores({"/usr/bin/env", "OMP_PROC_BIND=true", kProgram, "probe"}), here);
  SetSpec(MiniSpec());
  const v1::BenchReport report =
      Bench({"/usr/bin/env", "OMP_PROC_BIND=true", kProgram, "bench", "--steps", "1"});
  EXPECT_EQ(report.threads(), here);
}

TEST_F(MachineTest, RefusesADeviceThatIsNotHere) {
  for (const char* device : {"gpu", "cuda:99"}) {
    EXPECT_FALSE(Call({"probe", "--device", device}).ok()) << device;
  }
}

TEST_F(MachineTest, BenchNeedsNeitherDataNorWeights) {
  SetSpec(MiniSpec(R"({"model": {"name": "deit_tiny_patch16_224", "pretrained": true},
                       "dataset": {"name": "cifar10", "batch_size": 2}})"));
  const v1::BenchReport report = Bench({kProgram, "bench", "--steps", "3", "--threads", "1"});
  EXPECT_GT(report.images_per_s(), 0);
  EXPECT_GT(report.forward_images_per_s(), report.images_per_s());
  EXPECT_GT(report.rss_before_mb(), 0);
  EXPECT_GE(report.rss_peak_mb(), report.rss_before_mb());
  EXPECT_EQ(report.micro_batch(), 2);
  EXPECT_EQ(report.threads(), 1);
  EXPECT_EQ(report.quantization(), "nf4+dq");
}

// What tensors hold explains, to 5 %, what the process grew by in training. In fp32, that the
// libraries' code, some 2 MB which only training touches, is little beside it.
TEST_F(MachineTest, TheMemoryAccountExplainsTheProcess) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer has memory of its own for every byte";
#endif
  SetSpec(MiniSpec(R"({"model": {"name": "deit_tiny_patch16_224"},
                       "dataset": {"name": "cifar10", "batch_size": 16},
                       "training": {"use_mixed_precision": false, "gradient_checkpointing": "none"},
                       "quantization": {"bits": 0, "double_quant": false}})"));
  const v1::BenchReport report = Bench({kProgram, "bench", "--steps", "1", "--threads", "2"});
  const v1::MemoryAccount& memory = report.memory();
  const auto grown = static_cast<double>(memory.rss_peak_bytes() - memory.rss_before_bytes());
  const auto held = static_cast<double>(memory.held_bytes() - memory.held_before_bytes());
  EXPECT_GT(grown, 1e8);
  EXPECT_NEAR(held, grown, 0.05 * grown);
}

}  // namespace
}  // namespace qsweep::engine
