// For tests of what reads directories.
#ifndef QSWEEP_COMMON_TESTING_FILE_TREE_H_
#define QSWEEP_COMMON_TESTING_FILE_TREE_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "common/file.h"
#include "common/testing/temporary_directory.h"

namespace qsweep {

// A directory of the test's own, to be filled, and removed with the test.
class FileTreeTest : public ::testing::Test {
 protected:
  // With the directories above it.
  void Write(const std::string& name, const std::string& text) {
    const std::string path = JoinPath(root_, name);
    ASSERT_TRUE(MakeDirectories(std::filesystem::path(path).parent_path().string()).ok());
    ASSERT_TRUE(WriteFileAtomic(path, text).ok());
  }

  const TemporaryDirectory directory_;
  const std::string root_ = directory_.path();
};

}  // namespace qsweep

#endif  // QSWEEP_COMMON_TESTING_FILE_TREE_H_
