#include "qctl/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qsweep::qctl {
namespace {

using Align = Table::Align;
constexpr size_t kWide = 1000;

TEST(TableTest, ColumnsAreAlignedAndLinesEndInText) {
  Table table({{"run"}, {"top-1", Align::kRight}, {"remark"}});
  table.AddRow({"a", "9.5 %", ""});
  table.AddRow({"longer", "± 10.25 %", "on host"});
  EXPECT_EQ(table.Render(Style(), kWide),
            "run         top-1  remark\n"
            "a           9.5 %\n"
            "longer  ± 10.25 %  on host\n");
}

TEST(TableTest, ColumnsWithoutTextAreLeftOut) {
  Table table({{"run"}, {"failed", Align::kRight}, {"state"}});
  table.AddRow({"a", "", "pending"});
  EXPECT_EQ(table.Render(Style(), kWide, 2), "  run  state\n  a    pending\n");
  EXPECT_EQ(Table({{"run"}}).Render(Style(), kWide), "");
}

TEST(TableTest, LastColumnIsCutToTheWidth) {
  Table table({{"run"}, {"error"}});
  table.AddRow({"a", "a very long explanation of what went wrong"});
  EXPECT_EQ(table.Render(Style{.utf8 = true}, 24), "run  error\na    a very long explan…\n");
}

TEST(TableTest, NamesLoseTheirMiddleBeforeALineBreaks) {
  Table table({{"id", Align::kRight}, {"run"}, {"state"}, {"remark"}});
  table.AddRow({"7", "vit_mini_patch4_28-fashion_mnist-r8-nf4-s1", "running", "on host"});
  EXPECT_EQ(table.Render(Style{.utf8 = true}, 46),
            "id  run                       state    remark\n"
            " 7  vit_mini_pat…t-r8-nf4-s1  running  on host\n");
  EXPECT_THAT(table.Render(Style{.utf8 = true}, 10),  // readable, however little room there is
              ::testing::HasSubstr(" 7  vit_mini_p…r8-nf4-s1  running  on host\n"));
}

TEST(TableTest, WithoutTitlesThereIsNoLineOfThem) {
  Table table({{""}, {""}});
  table.AddRow({"good", "disk"});
  EXPECT_EQ(table.Render(Style(), kWide), "good  disk\n");
}

TEST(TableTest, ColourDoesNotChangeTheLayout) {
  Table table({{"a"}, {"b"}});
  table.AddRow({Cell("x", Ink::kGreen), "y"});
  EXPECT_EQ(table.Render(Style{.color = true}, kWide),
            "\x1b[2ma\x1b[0m  \x1b[2mb\x1b[0m\n\x1b[32mx\x1b[0m  y\n");
}

TEST(TableTest, CellsAreMadePrintable) {
  Table table({{"a"}});
  table.AddRow({"x\x1b[31m\n"});
  EXPECT_EQ(table.Render(Style(), kWide), "a\nx [31m\n");
}

TEST(StyleTest, BarsFillToTheFraction) {
  EXPECT_EQ(Style().Bar(0.5, 4, Ink::kPlain), "##..");
  EXPECT_EQ(Style().Bar(7, 3, Ink::kPlain), "###");
  EXPECT_EQ(Style().Bar(-1, 3, Ink::kPlain), "...");
  EXPECT_EQ(Style{.utf8 = true}.Bar(0.375, 4, Ink::kPlain), "━╸──");
}

}  // namespace
}  // namespace qsweep::qctl
