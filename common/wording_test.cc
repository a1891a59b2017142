#include "common/wording.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace qsweep {
namespace {

TEST(Wording, SuggestsTheNearest) {
  EXPECT_EQ(DidYouMean("rnak", {"alpha", "rank"}), "; did you mean rank?");
  EXPECT_EQ(DidYouMean("deit", {"vit", "deit_tiny"}), "; did you mean deit_tiny?");
  EXPECT_EQ(DidYouMean("rank", {"model.name", "lora.rank"}), "; did you mean lora.rank?");
  EXPECT_EQ(DidYouMean("lr", {"rank", "alpha"}), "");
  EXPECT_EQ(DidYouMean(std::string(100'000, 'r'), {"rank"}), "");
  EXPECT_EQ(Quoted(absl::StrCat("a\n", std::string(100, 'x'))),
            absl::StrCat("'a\\n", std::string(58, 'x'), "...'"));
}

}  // namespace
}  // namespace qsweep
