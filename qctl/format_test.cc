#include "qctl/format.h"

#include <gtest/gtest.h>

namespace qsweep::qctl {
namespace {

TEST(FormatTest, Bytes) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(999.7), "1.00 kB");
  EXPECT_EQ(FormatBytes(3.85e6), "3.85 MB");
  EXPECT_EQ(FormatBytes(22.1e6), "22.1 MB");
  EXPECT_EQ(FormatBytes(640e6), "640 MB");
  EXPECT_EQ(FormatBytes(5e15), "5000 TB");
}

TEST(FormatTest, Elapsed) {
  EXPECT_EQ(FormatElapsed(absl::Milliseconds(420)), "0.4 s");
  EXPECT_EQ(FormatElapsed(-absl::Seconds(3)), "0.0 s");  // clocks of two machines
  EXPECT_EQ(FormatElapsed(absl::Milliseconds(59'600)), "1 min 0 s");
  EXPECT_EQ(FormatElapsed(absl::Seconds(243)), "4 min 3 s");
  EXPECT_EQ(FormatElapsed(absl::Minutes(72)), "1 h 12 min");
  EXPECT_EQ(FormatElapsed(absl::Hours(50)), "2 d 2 h");
  EXPECT_EQ(FormatSpan(0, 5, 9), "");
  EXPECT_EQ(FormatSpan(1'000'000, 0, 3'000'000), "2.0 s");
}

TEST(FormatTest, CountsAndRates) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(-123456), "-123,456");
  EXPECT_EQ(FormatRate(0), "");
  EXPECT_EQ(FormatRate(67.21), "67.2 img/s");
  EXPECT_EQ(FormatRate(1240.2), "1,240 img/s");
  EXPECT_EQ(Plural(1, "run"), "1 run");
  EXPECT_EQ(Plural(0, "run"), "0 runs");
}

TEST(FormatTest, StatesAreWords) {
  EXPECT_EQ(StateName(v1::RUN_STATE_SUCCEEDED), "succeeded");
  EXPECT_EQ(BlameName(v1::BLAME_CONTROL_PLANE), "control plane");
  EXPECT_EQ(StateName(static_cast<v1::RunState>(77)), "state 77");  // from a newer scheduler
  v1::Sweep sweep;
  sweep.set_succeeded(3);
  EXPECT_EQ(SweepState(sweep), v1::RUN_STATE_SUCCEEDED);
  sweep.set_failed(1);
  EXPECT_EQ(SweepState(sweep), v1::RUN_STATE_FAILED);
  sweep.set_pending(1);
  EXPECT_EQ(SweepState(sweep), v1::RUN_STATE_PENDING);
  EXPECT_EQ(TotalRuns(sweep), 5);
  EXPECT_EQ(EndedRuns(sweep), 4);
}

TEST(FormatTest, TextFromElsewhereCannotDriveTheTerminal) {
  EXPECT_EQ(Printable("a\x1b[2Jb\nc\x7f"), "a [2Jb c");
  EXPECT_EQ(Printable("x\xC2\x9B"
                      "y"),
            "x  y");  // the one-character form of ESC [
  EXPECT_EQ(Printable("größe ±1"), "größe ±1");
  EXPECT_EQ(PrintableLines("a\x1b[2J\n  b"), "a [2J\n  b");
}

TEST(FormatTest, WidthCountsCharactersNotBytes) {
  EXPECT_EQ(DisplayWidth("±1 %"), 4u);
  EXPECT_EQ(Fit("deit_tiny-r8-s42", 16, "…"), "deit_tiny-r8-s42");
  EXPECT_EQ(Fit("deit_tiny-r8-s42", 9, "…"), "deit…-s42");
  EXPECT_EQ(Fit("äöüßäöüß", 5, "…"), "äö…üß");
  EXPECT_EQ(Fit("abcdef", 2, "..."), "..");
  EXPECT_EQ(Cut("abcdef", 4, "…"), "abc…");
  EXPECT_EQ(Cut("abcdef", 0, "…"), "");
}

}  // namespace
}  // namespace qsweep::qctl
