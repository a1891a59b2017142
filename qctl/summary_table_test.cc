#include "qctl/summary_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qsweep::qctl {
namespace {

using ::testing::HasSubstr;

v1::GroupSummary Group(const char* quantization, double mean, double weights, double saved) {
  v1::GroupSummary group;
  group.set_model("vit");
  group.set_dataset("cifar10");
  group.set_method("lora");
  group.set_rank(8);
  group.set_quantization(quantization);
  group.mutable_top1()->set_n(2);
  group.mutable_top1()->set_mean(mean);
  group.mutable_top1()->set_sd(0.0021);
  group.set_weights_bytes(weights);
  group.set_weights_reduction(saved);
  group.set_peak_bytes(21e6);
  group.set_images_per_s(812.25);
  return group;
}

TEST(RenderSummaryTest, SharedTraitsStandInTheHeading) {
  v1::SweepSummary summary;
  summary.set_name("study");
  summary.set_succeeded(4);
  summary.set_reused(1);
  summary.set_directory("qsweep-data/results/study");
  *summary.add_groups() = Group("none", 0.931, 3.3e6, 0);
  v1::GroupSummary nf4 = Group("nf4+dq", 0.9175, 0.51e6, 0.845);
  nf4.set_peak_reduction(-0.11);
  *summary.add_groups() = nf4;
  EXPECT_EQ(RenderSummary(summary, Style{.utf8 = true}, 200),
            "study: 4 of 4 runs succeeded (1 reused)\n"
            "  vit · cifar10 · lora · r8\n"
            "\n"
            "  quantization  runs      top-1 ± sd  weights  vs fp32  peak memory  vs none  img/s\n"
            "  none             2  93.10 ± 0.21 %  3.30 MB        –      21.0 MB           812.2\n"
            "  nf4+dq           2  91.75 ± 0.21 %   510 kB    −84 %      21.0 MB    +11 %  812.2\n"
            "\n"
            "  files: qsweep-data/results/study/\n");
}

TEST(RenderSummaryTest, WhatVariesHasAColumn) {
  v1::SweepSummary summary;
  *summary.add_groups() = Group("none", 0.9, 1e6, 0);
  *summary.add_groups() = Group("none", 0.9, 1e6, 0);
  summary.mutable_groups(1)->set_rank(16);
  summary.mutable_groups(1)->set_differs("training.learning_rate=0.5");
  const std::string text = RenderSummary(summary, Style(), 200);
  EXPECT_THAT(text, HasSubstr("  rank  quantization  differs in  "));
  EXPECT_THAT(text, HasSubstr("  top-1 +- sd  "));
  EXPECT_THAT(text, HasSubstr("  r16   none          learning_rate=0.5  "));
  EXPECT_THAT(text, HasSubstr("90.00 +- 0.21 %"));
}

TEST(RenderSummaryTest, FailuresAreListedWithReasons) {
  v1::SweepSummary summary;
  summary.set_name("study");
  summary.set_sweep_id(7);
  summary.set_failed(25);
  for (int i = 0; i < 25; ++i) {
    summary.add_failures()->set_run("r");
    summary.mutable_failures(i)->set_error("loss is\nnot finite");
  }
  const std::string text = RenderSummary(summary, Style(), 200);
  EXPECT_THAT(text, HasSubstr("study: 0 of 25 runs succeeded\n"));
  EXPECT_THAT(text, HasSubstr("  x r: loss is not finite\n"));
  EXPECT_THAT(text, HasSubstr("  and 5 more\n"));
  EXPECT_THAT(text, HasSubstr("`qctl retry 7`"));
}

}  // namespace
}  // namespace qsweep::qctl
