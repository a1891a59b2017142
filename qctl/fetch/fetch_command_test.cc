// The real qctl fetch, against a server on this machine.
#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "qctl/cli_fixture.h"
#include "qctl/fetch/catalog.h"
#include "qctl/fetch/test_server.h"
#include "qctl/fetch/unpack.h"

namespace qsweep::qctl {
namespace {

using testing::HasSubstr;
using Reply = TestServer::Reply;
using Request = TestServer::Request;

constexpr char kModel[] = "deit_tiny_patch16_224";

class FetchCommandTest : public CliTest {
 protected:
  // A Hugging Face server: the file's address is answered with a redirect that names its checksum.
  Reply HuggingFace(const Request& request) {
    if (request.path == "/store/1") return Serve(content_, request, most_);
    if (request.path != "/timm/deit_tiny_patch16_224.fb_in1k/resolve/main/model.safetensors") {
      return {404, {"Content-Length: 0"}, ""};
    }
    return {302,
            {"X-Linked-Etag: \"" + Sha256Hex(content_) + "\"", "Location: /store/1",
             "Content-Length: 0"},
            ""};
  }
  static std::string Weights() {
    const std::string header = R"({"w":{"dtype":"U8","shape":[100000],"data_offsets":[0,100000]}})";
    return absl::StrCat(std::string(1, static_cast<char>(header.size())), std::string(7, '\0'),
                        header, std::string(100'000, 'w'));
  }
  const std::string content_ = Weights();
  size_t most_ = SIZE_MAX;
};

TEST_F(FetchCommandTest, AModelGoesWhereRunsLookForIt) {
  most_ = 30'000;  // breaks off three times
  const TestServer server([&](const Request& request) { return HuggingFace(request); });
  const std::vector<std::string> endpoint = {"HF_ENDPOINT=" + server.url()};
  const Outcome fetched = Qctl({"fetch", "model", kModel}, endpoint);
  EXPECT_EQ(fetched.exit_code, 0) << fetched.err;
  EXPECT_THAT(fetched.out, HasSubstr("0.1 MB, checksum right"));
  const std::string place = Path("models/deit_tiny_patch16_224/model.safetensors");
  EXPECT_EQ(ReadFile(place, 1 << 20).value_or(""), content_);
  const size_t asked = server.requests().size();
  EXPECT_THAT(Qctl({"fetch", "model", kModel}, endpoint).out, HasSubstr("there already"));
  EXPECT_EQ(server.requests().size(), asked);
}

TEST_F(FetchCommandTest, AMirrorComesBeforeTheEndpoint) {
  const TestServer server([&](const Request& request) { return HuggingFace(request); });
  const Outcome fetched =
      Qctl({"fetch", "model", kModel, "--mirror", server.url("/"), "--model-root", "elsewhere"},
           {"HF_ENDPOINT=http://127.0.0.1:1"});
  EXPECT_EQ(fetched.exit_code, 0) << fetched.err;
  EXPECT_TRUE(PathExists(Path("elsewhere/deit_tiny_patch16_224/model.safetensors")));
}

TEST_F(FetchCommandTest, WhyItWaitsToTryAgainIsSaid) {
  bool first = true;
  const TestServer server([&](const Request& request) {
    return std::exchange(first, false) ? Reply{503, {"Content-Length: 0"}, ""}
                                       : HuggingFace(request);
  });
  const Outcome fetched = Qctl({"fetch", "model", kModel, "--mirror", server.url()});
  EXPECT_EQ(fetched.exit_code, 0);
  EXPECT_THAT(fetched.err, HasSubstr("HTTP status 503; tries again in 2s"));
}

TEST_F(FetchCommandTest, GarbageIsAnErrorAndLeavesNothing) {
  const TestServer server([&](const Request&) { return Reply{200, {}, "<html>"}; });
  const Outcome fetched =
      Qctl({"fetch", "dataset", "cifar10", "--mirror", server.url(), "--data-root", "data"});
  EXPECT_EQ(fetched.exit_code, 1);
  EXPECT_THAT(fetched.err, HasSubstr("/~kriz/cifar-10-binary.tar.gz: has the MD5"));
  EXPECT_EQ(ListDirectory(Path("data"))->size(), 0u);
}

TEST_F(FetchCommandTest, WhatIsThereIsReplacedByAWholeFileOnly) {
  const std::string place = Path("models/deit_tiny_patch16_224/model.safetensors");
  ASSERT_TRUE(MakeDirectories(place.substr(0, place.rfind('/'))).ok());
  ASSERT_TRUE(WriteFileAtomic(place, "old").ok());
  // No checksum comes with it.
  std::string content = "<html>log in to the hotel's network</html>";
  const TestServer server([&](const Request& request) { return Serve(content, request); });
  const std::vector<std::string> fetch = {"fetch",   "model",    kModel,
                                          "--force", "--mirror", server.url()};
  for (const std::string& bad : {content, content_.substr(0, 90'000), content_ + "x"}) {
    content = bad;
    const Outcome fetched = Qctl(fetch);
    EXPECT_EQ(fetched.exit_code, 1);
    EXPECT_THAT(fetched.err, HasSubstr("no safetensors file"));
    EXPECT_EQ(ReadFile(place, 1 << 20).value_or(""), "old");
  }
  content = content_;
  EXPECT_EQ(Qctl(fetch).exit_code, 0);
  EXPECT_EQ(ReadFile(place, 1 << 20).value_or(""), content_);
}

TEST_F(FetchCommandTest, AnArchiveThatWasLeftIsCheckedBeforeItIsUnpacked) {
  ASSERT_TRUE(MakeDirectories(Path("data")).ok());
  Write("data/cifar-10-batches-bin.tar.gz", "from somewhere");
  const TestServer server([&](const Request&) { return Reply{404, {"Content-Length: 0"}, ""}; });
  const Outcome fetched = Qctl({"fetch", "dataset", "cifar10", "--mirror", server.url()});
  EXPECT_THAT(fetched.err, HasSubstr("cifar-10-binary.tar.gz: not there"));
}

TEST_F(FetchCommandTest, ADatasetIsUnpackedByOneProcessAtATime) {
  const TestServer server([&](const Request&) { return Reply{404, {"Content-Length: 0"}, ""}; });
  const std::vector<std::string> fetch = {"fetch", "dataset", "cifar10", "--mirror", server.url()};
  ASSERT_TRUE(MakeDirectories(Path("data")).ok());
  {
    const auto held = OpenAlone(Path("data/cifar-10-batches-bin.lock"));
    ASSERT_TRUE(held.ok()) << held.status();
    const Outcome second = Qctl(fetch);
    EXPECT_EQ(second.exit_code, 1);
    EXPECT_THAT(second.err, HasSubstr("another process is fetching it"));
    EXPECT_EQ(server.requests().size(), 0u);
  }
  EXPECT_THAT(Qctl(fetch).err, HasSubstr("not there"));
  EXPECT_FALSE(PathExists(Path("data/cifar-10-batches-bin.lock")));
}

TEST_F(FetchCommandTest, SaysWhatThereIs) {
  const Outcome typo = Qctl({"fetch", "dataset", "cifar"});
  EXPECT_EQ(typo.exit_code, 2);
  EXPECT_THAT(typo.err, HasSubstr("no dataset 'cifar' to fetch; did you mean cifar10?"));
  EXPECT_THAT(Qctl({"fetch", "model", "vit_mini_patch4_28"}).err, HasSubstr("no weights of"));
  EXPECT_THAT(Qctl({"fetch", "model", kModel, "--mirror", "ftp://x"}).err, HasSubstr("--mirror"));
  EXPECT_EQ(Qctl({"fetch"}).exit_code, 2);
}

TEST(Catalog, EveryFileHasAHome) {
  for (const char* name : {"cifar10", "cifar100", "fashion_mnist"}) {
    const absl::StatusOr<std::vector<CatalogFile>> files = FilesOfDataset(name, "http://mirror/x/");
    ASSERT_TRUE(files.ok()) << files.status();
    for (const CatalogFile& file : *files) {
      EXPECT_TRUE(absl::StartsWith(file.url, "http://mirror/x/")) << file.url;
      EXPECT_EQ(file.checksum.hex.size(), 32u);
    }
  }
  EXPECT_EQ(FilesOfModel("deit_small_patch16_224", "", "")->front().url,
            "https://huggingface.co/timm/deit_small_patch16_224.fb_in1k/resolve/main/"
            "model.safetensors");
}

class UnpackTest : public CliTest {
 protected:
  struct Member {
    std::string name, content;
    bool link = false;
  };
  std::string Archive(const std::vector<Member>& members) {
    const std::string path = Path("a.tar.gz");
    archive* writer = archive_write_new();
    archive_write_add_filter_gzip(writer);
    archive_write_set_format_ustar(writer);
    EXPECT_EQ(archive_write_open_filename(writer, path.c_str()), ARCHIVE_OK);
    for (const Member& member : members) {
      archive_entry* entry = archive_entry_new();
      archive_entry_set_pathname(entry, member.name.c_str());
      archive_entry_set_filetype(entry, member.link ? AE_IFLNK : AE_IFREG);
      if (member.link) archive_entry_set_symlink(entry, member.content.c_str());
      archive_entry_set_perm(entry, 0644);
      archive_entry_set_size(entry, member.link ? 0 : static_cast<int64_t>(member.content.size()));
      archive_write_header(writer, entry);
      if (!member.link) archive_write_data(writer, member.content.data(), member.content.size());
      archive_entry_free(entry);
    }
    archive_write_free(writer);
    return path;
  }
};

TEST_F(UnpackTest, WhatIsWantedAndNothingElse) {
  const std::string archive = Archive({{"set/train.bin", "training"},
                                       {"../../escape.bin", "bad"},
                                       {"set/test.bin", "/etc/passwd", true},
                                       {"/absolute/test.bin", "testing"},
                                       {"set/readme", "no"}});
  ASSERT_TRUE(UnpackMembers(archive, {"train.bin", "test.bin"}, Path("set"), 1000).ok());
  EXPECT_THAT(*ListDirectory(Path("set")), testing::ElementsAre("test.bin", "train.bin"));
  EXPECT_EQ(*ReadFile(Path("set/test.bin"), 100), "testing");
  EXPECT_FALSE(PathExists(Path("set.unpacked")));
}

TEST_F(UnpackTest, ReplacesWhatWasThere) {
  const std::string archive = Archive({{"train.bin", "new"}});
  ASSERT_TRUE(MakeDirectories(Path("set")).ok());
  Write("set/train.bin", "old");
  EXPECT_FALSE(UnpackMembers(archive, {"test.bin"}, Path("set"), 1000).ok());
  EXPECT_EQ(*ReadFile(Path("set/train.bin"), 100), "old");
  ASSERT_TRUE(UnpackMembers(archive, {"train.bin"}, Path("set"), 1000).ok());
  EXPECT_EQ(*ReadFile(Path("set/train.bin"), 100), "new");
  EXPECT_THAT(*ListDirectory(directory_.path()), testing::UnorderedElementsAre("a.tar.gz", "set"));
}

TEST_F(UnpackTest, DamageLeavesNothing) {
  const std::string archive = Archive({{"train.bin", std::string(100'000, 'a')}});
  EXPECT_THAT(UnpackMembers(archive, {"train.bin", "test.bin"}, Path("set"), 1 << 20).message(),
              HasSubstr("lacks test.bin"));
  EXPECT_THAT(UnpackMembers(archive, {"train.bin"}, Path("set"), 1000).message(),
              HasSubstr("too much"));
  const std::string bytes = *ReadFile(archive, 1 << 20);
  for (size_t size = 0; size + 8 < bytes.size(); size += 1 + bytes.size() / 20) {
    ASSERT_TRUE(WriteFileAtomic(archive, bytes.substr(0, size)).ok());
    EXPECT_EQ(UnpackMembers(archive, {"train.bin"}, Path("set"), 1 << 20).code(),
              absl::StatusCode::kDataLoss)
        << size;
  }
  EXPECT_FALSE(PathExists(Path("set")));
  EXPECT_FALSE(PathExists(Path("set.unpacked")));
}

}  // namespace
}  // namespace qsweep::qctl
