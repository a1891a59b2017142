// DeiT-tiny on CIFAR-10 with the real weights, where they are on this machine.
#include <gtest/gtest.h>

#include "common/attempt_dir.h"
#include "common/file.h"
#include "common/spec/spec.h"
#include "common/subprocess.h"
#include "worker/engine/train/testing.h"

namespace qsweep::engine {
namespace {

const std::string kAssets = QSWEEP_SOURCE_DIR "/../shared/assets";

TEST(AssetsTest, QuantizedLoraOfDeitTinyLearnsCifar10) {
  if (!PathExists(kAssets)) GTEST_SKIP() << kAssets << " is not here";
  v1::ExperimentSpec spec;
  spec.mutable_model()->set_name("deit_tiny_patch16_224");
  spec.mutable_dataset()->set_name("cifar10");
  spec.mutable_dataset()->set_train_limit(640);
  spec.mutable_dataset()->set_eval_limit(200);
  spec.mutable_quantization()->set_bits(4);
  spec.mutable_dataset()->set_batch_size(16);
  spec.mutable_training()->set_num_epochs(1);
  spec.mutable_training()->set_learning_rate(2e-3);
  const auto complete = CompleteSpec(spec);
  ASSERT_TRUE(complete.ok()) << complete.status();

  const TemporaryDirectory directory;
  const std::string spec_file = JoinPath(directory.path(), "spec.json");
  ASSERT_TRUE(WriteFileAtomic(spec_file, CanonicalJson(*complete)).ok());
  const std::string attempt = directory.Sub("attempt");
  const auto output = RunForOutput({QSWEEP_BIN_DIR "/qtrain", "run", "--spec", spec_file, "--dir",
                                    attempt, "--data-root", kAssets, "--model-root", kAssets},
                                   absl::Minutes(20));
  ASSERT_TRUE(output.ok()) << output.status();
  const v1::Event last = EventsIn(attempt).back();
  ASSERT_TRUE(last.has_finished());
  const v1::RunResult& result = last.finished().result();
  EXPECT_EQ(result.quantization().layers_quantized(), 48);
  // 0.84 when this was written, with a standard error of 0.026; guessing reaches 0.1.
  EXPECT_GT(result.best().top1(), 0.75);
}

}  // namespace
}  // namespace qsweep::engine
