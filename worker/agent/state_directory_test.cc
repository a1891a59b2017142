#include "worker/agent/state_directory.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "common/attempt_dir.h"

namespace qsweep {
namespace {

class StateDirectoryTest : public testing::Test {
 protected:
  StateDirectoryTest() {
    path_ = (std::filesystem::temp_directory_path() / "state-XXXXXX").string();
    EXPECT_NE(::mkdtemp(path_.data()), nullptr);
    assign_.mutable_attempt()->set_run_id(12);
    assign_.mutable_attempt()->set_number(3);
    assign_.set_run_name("a-run");
    assign_.set_spec_json("{\"seed\":1}");
  }
  ~StateDirectoryTest() override { (void)RemoveTree(path_); }

  std::string path_;
  v1::Assign assign_;
  const AttemptId id_{RunId(12), AttemptNumber(3)};
};

TEST_F(StateDirectoryTest, WorkerIdIsMadeOnce) {
  std::string id;
  {
    const auto state = StateDirectory::Open(path_);
    ASSERT_TRUE(state.ok()) << state.status();
    id = state->worker_id();
    EXPECT_EQ(id.size(), 32u);
  }
  EXPECT_EQ(StateDirectory::Open(path_)->worker_id(), id);
  EXPECT_NE(StateDirectory::Open(JoinPath(path_, "other"))->worker_id(), id);
}

TEST_F(StateDirectoryTest, OneAgentADirectory) {
  const auto first = StateDirectory::Open(path_);
  EXPECT_TRUE(absl::IsUnavailable(StateDirectory::Open(path_).status()));
}

TEST_F(StateDirectoryTest, AttemptExistsFromItsCommitToItsRemoval) {
  const auto state = StateDirectory::Open(path_);
  const auto prepared = state->Prepare(assign_);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  ASSERT_TRUE(WriteFileAtomic(JoinPath(*prepared, kWeightsFile), "weights").ok());
  EXPECT_TRUE(state->Attempts()->empty());
  ASSERT_TRUE(state->Commit(id_).ok());
  EXPECT_FALSE(PathExists(*prepared));
  const auto attempts = state->Attempts();
  ASSERT_EQ(attempts->size(), 1u);
  EXPECT_EQ((*attempts)[0].run_name(), "a-run");
  EXPECT_EQ(*ReadFile(JoinPath(state->AttemptPath(id_), kSpecFile), 100), "{\"seed\":1}");
  EXPECT_EQ(*ReadFile(JoinPath(state->AttemptPath(id_), kWeightsFile), 100), "weights");
  ASSERT_TRUE(state->Remove(id_).ok());
  EXPECT_TRUE(state->Attempts()->empty());
  EXPECT_TRUE(ListDirectory(JoinPath(path_, "attempts"))->empty());
  EXPECT_TRUE(state->Remove(id_).ok());
}

TEST_F(StateDirectoryTest, WhatWasOnlyPreparedIsSweptByTheNextAgent) {
  {
    const auto state = StateDirectory::Open(path_);
    ASSERT_TRUE(state->Prepare(assign_).ok());
    EXPECT_EQ(ListDirectory(JoinPath(path_, "attempts"))->size(), 1u);
  }
  const auto state = StateDirectory::Open(path_);
  EXPECT_TRUE(ListDirectory(JoinPath(path_, "attempts"))->empty());
}

TEST_F(StateDirectoryTest, DamagedAttemptIsLeftAlone) {
  const auto state = StateDirectory::Open(path_);
  ASSERT_TRUE(state->Prepare(assign_).ok());
  ASSERT_TRUE(state->Commit(id_).ok());
  ASSERT_TRUE(WriteFileAtomic(JoinPath(state->AttemptPath(id_), kAssignFile), "{\"att").ok());
  ASSERT_TRUE(state->Attempts().ok());
  EXPECT_TRUE(state->Attempts()->empty());
  EXPECT_TRUE(PathExists(state->AttemptPath(id_)));
}

}  // namespace
}  // namespace qsweep
