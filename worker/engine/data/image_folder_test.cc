#include "worker/engine/data/image_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "common/testing/file_tree.h"

namespace qsweep::engine {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// No file is opened, so they hold nothing.
class ImageFolderTest : public FileTreeTest {
 protected:
  ImageFolderTest() {
    for (const char* name : {"train/dog/b.png", "train/dog/a.JPG", "train/cat/deep/er/c.jpeg",
                             "train/dog/notes.txt", "val/cat/notes.txt", "val/dog/d.jpg"}) {
      Put(name);
    }
  }

  void Put(const std::string& name) { Write(name, ""); }
  std::string ErrorOf(Split split = Split::kTrain) {
    return std::string(LoadImageFolder(root_, split).status().message());
  }
  // Below the split's directory.
  static std::vector<std::string> Names(const Dataset& dataset, const std::string& split) {
    std::vector<std::string> names;
    for (const std::string& file : dataset.files) {
      names.push_back(file.substr(file.find("/" + split + "/") + split.size() + 2));
    }
    return names;
  }
};

TEST_F(ImageFolderTest, ClassesAndFilesAreSortedAndTakenInTurn) {
  const Dataset train = *LoadImageFolder(root_, Split::kTrain);
  EXPECT_EQ(train.classes, 2);
  EXPECT_THAT(Names(train, "train"), ElementsAre("cat/deep/er/c.jpeg", "dog/a.JPG", "dog/b.png"));
  EXPECT_THAT(train.labels, ElementsAre(0, 1, 1));
  // A class without a picture keeps its number.
  const Dataset val = *LoadImageFolder(root_, Split::kTest);
  EXPECT_EQ(val.classes, 2);
  EXPECT_THAT(Names(val, "val"), ElementsAre("dog/d.jpg"));
  EXPECT_THAT(val.labels, ElementsAre(1));
}

TEST_F(ImageFolderTest, WhatCannotBeReadIsNamed) {
  fs::create_symlink("/nowhere", root_ + "/train/dog/c.png");
  EXPECT_THAT(ErrorOf(), HasSubstr("train/dog/c.png"));
  fs::remove(root_ + "/train/dog/c.png");
  for (const char* name : {"e.webp", "e.HEIC", "e.heif", "e.avif", "e.jp2", "e.jxl"}) {
    const std::string path = std::string("train/cat/") + name;
    Put(path);
    EXPECT_THAT(ErrorOf(), HasSubstr(std::string(name) + ": only JPEG and PNG can be read"));
    fs::remove(JoinPath(root_, path));
  }
}

TEST_F(ImageFolderTest, JpegHasOtherNames) {
  Put("train/dog/e.JFIF");
  Put("train/dog/f.jpe");
  const Dataset train = *LoadImageFolder(root_, Split::kTrain);
  EXPECT_THAT(Names(train, "train"), testing::IsSupersetOf({"dog/e.JFIF", "dog/f.jpe"}));
}

TEST_F(ImageFolderTest, APipeIsNotWaitedFor) {
  const std::string pipe = root_ + "/pipe.jpg";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const Dataset dataset{.channels = 3, .classes = 2, .files = {pipe}, .labels = {0}};
  EXPECT_THROW(dataset.At(0), ImageError);
}

TEST_F(ImageFolderTest, AClassNeedsTrainingPictures) {
  fs::create_directory(root_ + "/train/eel");
  EXPECT_THAT(ErrorOf(), HasSubstr("train/eel: holds no .jpg, .jpeg or .png"));
  fs::remove(root_ + "/train/eel");
  Put("val/eel/f.jpg");
  EXPECT_THAT(ErrorOf(Split::kTest), HasSubstr("val/eel: a class that"));
}

TEST_F(ImageFolderTest, WhatIsMissingIsNamed) {
  fs::remove_all(root_ + "/train/dog");
  EXPECT_THAT(ErrorOf(), HasSubstr("train: holds 1 directories; one for each class"));
  fs::remove_all(root_ + "/val");
  EXPECT_THAT(ErrorOf(), HasSubstr("val: not there"));
}

TEST_F(ImageFolderTest, ADirectoryWithBothSplitsIsOne) {
  fs::create_directories(root_ + "/all/a/train");
  fs::create_directories(root_ + "/all/a/val");
  fs::create_directories(root_ + "/all/b/train");
  EXPECT_THAT(ImageFoldersIn(root_ + "/all"), ElementsAre("a"));
}

}  // namespace
}  // namespace qsweep::engine
