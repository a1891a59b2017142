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
  spec.mutable_dataset()->set_train_limit(2000);
  spec.mutable_dataset()->set_eval_limit(500);
  spec.mutable_quantization()->set_bits(4);
  spec.mutable_training()->set_num_epochs(2);
  spec.mutable_training()->set_learning_rate(1e-3);
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
  EXPECT_GT(result.best().top1(), 0.8);
}

}  // namespace
}  // namespace qsweep::engine
