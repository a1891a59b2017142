#include "common/utf8.h"

#include <gtest/gtest.h>

namespace qsweep {
namespace {

TEST(Utf8, IsKnown) {
  for (const char* good : {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
    EXPECT_TRUE(IsValidUtf8(good));
  }
  // A lone continuation, a cut sequence, an overlong one, a surrogate, beyond U+10FFFF, never a
  // lead.
  for (const char* bad : {"\x80", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff"}) {
    EXPECT_FALSE(IsValidUtf8(bad));
  }
}

TEST(Utf8, IsNeverCutWithinACharacter) {
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
