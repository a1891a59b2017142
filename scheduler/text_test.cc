#include "scheduler/text.h"

#include <gtest/gtest.h>

namespace qsweep {
namespace {

TEST(Text, IsNeverCutWithinACharacter) {
  const absl::string_view text = "a\xc3\xa4\xe2\x82\xac";  // a, a with dots, the euro's sign
  EXPECT_EQ(Beginning(text, 6), text);
  EXPECT_EQ(Beginning(text, 5), "a\xc3\xa4");
  EXPECT_EQ(Beginning(text, 2), "a");
  EXPECT_EQ(Beginning(text, 0), "");
  EXPECT_EQ(Ending(text, 6), text);
  EXPECT_EQ(Ending(text, 4), "\xe2\x82\xac");
  EXPECT_EQ(Ending(text, 2), "");
}

}  // namespace
}  // namespace qsweep
