#include "common/spec/modules.h"

#include <gtest/gtest.h>

#include "common/spec/models.h"

namespace qsweep {
namespace {

TEST(Modules, MatchAsPeftDoes) {
  EXPECT_TRUE(ModuleMatches("blocks.0.attn.qkv", "qkv"));
  EXPECT_TRUE(ModuleMatches("blocks.0.attn.qkv", "attn.qkv"));
  EXPECT_TRUE(ModuleMatches("blocks.0.attn.qkv", "blocks.0.attn.qkv"));
  EXPECT_TRUE(ModuleMatches("blocks.11.mlp.fc1", "blocks.*.mlp.fc*"));
  EXPECT_TRUE(ModuleMatches("blocks.11.mlp.fc1", "*1"));
  EXPECT_FALSE(ModuleMatches("blocks.11.mlp.fc1", "1"));
  EXPECT_FALSE(ModuleMatches("blocks.0.attn.qkv", "kv"));
  EXPECT_FALSE(ModuleMatches("blocks.0.attn.qkv", "blocks.*.qkv"));
  EXPECT_FALSE(ModuleMatches("blocks.0.attn.qkv", "x.blocks.0.attn.qkv"));
  EXPECT_FALSE(ModuleMatches("head", ""));
  EXPECT_FALSE(ModuleMatches("head", "."));
  for (const char* pattern : {R"(.*\.(qkv|proj))", "(qkv|proj)", R"(blocks\.[0-5]\.attn\.qkv)",
                              ".*qkv", "^blocks.+qkv$"}) {
    EXPECT_TRUE(ModuleMatches("blocks.5.attn.qkv", pattern)) << pattern;
    EXPECT_FALSE(ModuleMatches("blocks.11.mlp.fc1", pattern)) << pattern;
  }
  EXPECT_FALSE(ModuleMatches("blocks.11.mlp.fc1", R"(1\.mlp\.fc1)"));  // not after a dot
  EXPECT_FALSE(ModuleMatches("blocks.0.attn.qkv", "(qkv"));
  EXPECT_FALSE(PatternError("(qkv").empty());
  EXPECT_EQ(PatternError("(qkv)"), "");
  EXPECT_EQ(BlockLinears(*FindModel("deit_small_patch16_224")).size(), 48u);
}

}  // namespace
}  // namespace qsweep
