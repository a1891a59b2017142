#include "worker/agent/state_directory.h"

#include <gtest/gtest.h>

#include "common/attempt_dir.h"
#include "common/data_dir.h"
#include "common/testing/file_tree.h"

namespace qsweep {
namespace {

class StateDirectoryTest : public FileTreeTest {
 protected:
  StateDirectoryTest() {
    assign_.mutable_attempt()->set_run_id(12);
    assign_.mutable_attempt()->set_number(3);
    assign_.set_run_name("a-run");
    assign_.set_spec_json("{\"seed\":1}");
  }

  v1::Assign assign_;
  const AttemptId id_{RunId(12), AttemptNumber(3)};
};

TEST_F(StateDirectoryTest, WorkerIdIsMadeOnce) {
  std::string id;
  {
    const auto state = StateDirectory::Open(root_);
    ASSERT_TRUE(state.ok()) << state.status();
    id = state->worker_id();
    EXPECT_EQ(id.size(), 32u);
  }
  EXPECT_EQ(StateDirectory::Open(root_)->worker_id(), id);
  EXPECT_NE(StateDirectory::Open(JoinPath(root_, "other"))->worker_id(), id);
}

TEST_F(StateDirectoryTest, OneAgentADirectory) {
  const auto first = StateDirectory::Open(root_);
  EXPECT_TRUE(absl::IsUnavailable(StateDirectory::Open(root_).status()));
}

TEST_F(StateDirectoryTest, ALockThatCannotBeOpenedIsNotAnotherAgents) {
  ASSERT_TRUE(MakeDirectories(JoinPath(root_, kDaemonLockFile)).ok());
  const absl::Status status = StateDirectory::Open(root_).status();
  EXPECT_EQ(status.message(), JoinPath(root_, kDaemonLockFile) + ": open: Is a directory");
}

TEST_F(StateDirectoryTest, AttemptExistsFromItsCommitToItsRemoval) {
  const auto state = StateDirectory::Open(root_);
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
  EXPECT_TRUE(ListDirectory(JoinPath(root_, "attempts"))->empty());
  EXPECT_TRUE(state->Remove(id_).ok());
}

TEST_F(StateDirectoryTest, WhatWasOnlyPreparedIsSweptByTheNextAgent) {
  {
    const auto state = StateDirectory::Open(root_);
    ASSERT_TRUE(state->Prepare(assign_).ok());
    EXPECT_EQ(ListDirectory(JoinPath(root_, "attempts"))->size(), 1u);
  }
  const auto state = StateDirectory::Open(root_);
  EXPECT_TRUE(ListDirectory(JoinPath(root_, "attempts"))->empty());
}

TEST_F(StateDirectoryTest, DamagedAttemptIsLeftAlone) {
  const auto state = StateDirectory::Open(root_);
  ASSERT_TRUE(state->Prepare(assign_).ok());
  ASSERT_TRUE(state->Commit(id_).ok());
  ASSERT_TRUE(WriteFileAtomic(JoinPath(state->AttemptPath(id_), kAssignFile), "{\"att").ok());
  ASSERT_TRUE(state->Attempts().ok());
  EXPECT_TRUE(state->Attempts()->empty());
  EXPECT_TRUE(PathExists(state->AttemptPath(id_)));
}

}  // namespace
}  // namespace qsweep
