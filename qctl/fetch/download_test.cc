// Against a real server on this machine that breaks off, sends garbage and lies.
#include "qctl/fetch/download.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/testing/temporary_directory.h"
#include "qctl/fetch/test_server.h"

namespace qsweep::qctl {
namespace {

using testing::HasSubstr;
using Reply = TestServer::Reply;
using Request = TestServer::Request;

std::string Content() {
  std::string content;
  for (int i = 0; content.size() < 300'000; ++i) absl::StrAppend(&content, i, ",");
  return content;
}

class FetchTest : public testing::Test {
 protected:
  Download Of(const TestServer& server, const std::string& path = "/file") const {
    Download download;
    download.url = server.url(path);
    download.destination = Place();
    download.checksum = {Checksum::Kind::kSha256, Sha256Hex(content_)};
    download.max_bytes = 1 << 20;
    download.retries = 2;
    download.backoff = absl::Milliseconds(1);
    return download;
  }
  std::string Place() const { return directory_.Path("sub/file"); }
  std::string Partial() const { return Place() + ".partial"; }
  std::string Got() const { return ReadFile(Place(), 1 << 22).value_or("nothing"); }
  void ExpectNothingKept() const {
    EXPECT_FALSE(PathExists(Place()));
    EXPECT_FALSE(PathExists(Partial()));
  }

  const std::string content_ = Content();
  const TemporaryDirectory directory_;
  std::atomic<int> server_calls_ = 0;
};

TEST_F(FetchTest, AFile) {
  const TestServer server([&](const Request& request) { return Serve(content_, request); });
  Download download = Of(server);
  int64_t last = 0, total = 0;
  download.progress = [&](int64_t done, int64_t of) {
    EXPECT_GE(done, last);
    last = done;
    total = std::max(total, of);
    return true;
  };
  const auto downloaded = Fetch(download);
  ASSERT_TRUE(downloaded.ok()) << downloaded.status();
  EXPECT_TRUE(downloaded->checked);
  EXPECT_EQ(downloaded->bytes, static_cast<int64_t>(content_.size()));
  EXPECT_EQ(Got(), content_);
  EXPECT_FALSE(PathExists(Partial()));
  EXPECT_EQ(last, downloaded->bytes);
  EXPECT_EQ(total, downloaded->bytes);
}

TEST_F(FetchTest, GoesOnWhereTheConnectionBreaks) {
  const TestServer server([&](const Request& request) { return Serve(content_, request, 70'000); });
  ASSERT_TRUE(Fetch(Of(server)).ok());
  EXPECT_EQ(Got(), content_);
  std::vector<int64_t> begins;
  for (const Request& request : server.requests()) begins.push_back(request.range_begin);
  EXPECT_THAT(begins, testing::ElementsAre(-1, 70'000, 140'000, 210'000, 280'000));
}

TEST_F(FetchTest, GoesOnInALaterCall) {
  std::atomic<bool> broken = true;
  const TestServer server([&](const Request& request) {
    return broken ? Serve(content_, request, request.range_begin < 0 ? 50'000 : 0)
                  : Serve(content_, request);
  });
  const auto failed = Fetch(Of(server));
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kInternal) << failed.status();
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr(server.url("/file")));
  EXPECT_FALSE(PathExists(Place()));
  EXPECT_EQ(*FileSize(Partial()), 50'000);
  EXPECT_EQ(server.requests().size(), 4u);  // the first and, without a byte more, two retries
  broken = false;
  ASSERT_TRUE(Fetch(Of(server)).ok());
  EXPECT_EQ(Got(), content_);
  EXPECT_EQ(server.requests().back().range_begin, 50'000);
}

TEST_F(FetchTest, BeginsAnewWhereAServerCannotGoOn) {
  const TestServer server([&](const Request& request) {
    return Serve(content_, Request{request.path, -1}, server_calls_++ == 0 ? 60'000 : SIZE_MAX);
  });
  ASSERT_TRUE(Fetch(Of(server)).ok());
  EXPECT_EQ(Got(), content_);
}

TEST_F(FetchTest, GarbageIsThrownAway) {
  const TestServer server([&](const Request&) {
    return Reply{200, {"Content-Type: text/html"}, "<html>log in to the hotel's network</html>"};
  });
  const auto fetched = Fetch(Of(server));
  EXPECT_EQ(fetched.status().code(), absl::StatusCode::kDataLoss) << fetched.status();
  EXPECT_THAT(std::string(fetched.status().message()), HasSubstr(Sha256Hex(content_)));
  ExpectNothingKept();
}

TEST_F(FetchTest, ADamagedPartIsNotBuiltUpon) {
  const TestServer server([&](const Request& request) { return Serve(content_, request); });
  directory_.Sub("sub");
  ASSERT_TRUE(WriteFileAtomic(Partial(), std::string(1000, 'x')).ok());
  EXPECT_EQ(Fetch(Of(server)).status().code(), absl::StatusCode::kDataLoss);
  ExpectNothingKept();
  EXPECT_TRUE(Fetch(Of(server)).ok());
  // Longer than the file: nothing is there to come.
  ASSERT_TRUE(WriteFileAtomic(Partial(), content_ + "x").ok());
  EXPECT_EQ(Fetch(Of(server)).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(PathExists(Partial()));
}

TEST_F(FetchTest, LiesAboutTheLength) {
  // Too long: the connection seems to break off each time.
  const TestServer longer([&](const Request& request) {
    Reply reply = Serve(content_, request);
    reply.headers.back() = absl::StrCat("Content-Length: ", content_.size() + 10);
    return reply;
  });
  const auto fetched = Fetch(Of(longer));
  EXPECT_TRUE(fetched.ok()) << fetched.status();  // then 416: whole, and its checksum right
  EXPECT_EQ(Got(), content_);
  ASSERT_TRUE(RemoveTree(Place()).ok());
  // Too short: what comes is cut off, and its checksum wrong.
  const TestServer shorter([&](const Request&) {
    return Reply{200, {"Content-Length: 1000"}, content_};
  });
  EXPECT_EQ(Fetch(Of(shorter)).status().code(), absl::StatusCode::kDataLoss);
  ExpectNothingKept();
  // Absurd: not a byte is taken.
  const TestServer absurd([&](const Request&) {
    return Reply{200, {"Content-Length: 1000000000000000"}, content_};
  });
  EXPECT_EQ(Fetch(Of(absurd)).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(*FileSize(Partial()), 0);
}

TEST_F(FetchTest, AnEndlessBodyEnds) {
  const TestServer server([&](const Request&) { return Reply{200, {}, content_, true}; });
  const auto fetched = Fetch(Of(server));
  EXPECT_EQ(fetched.status().code(), absl::StatusCode::kResourceExhausted) << fetched.status();
  EXPECT_LE(*FileSize(Partial()), 1 << 20);
}

TEST_F(FetchTest, AServerInTroubleIsAskedAgain) {
  const TestServer server([&](const Request& request) {
    if (server_calls_++ < 2) return Reply{503, {"Content-Length: 4"}, "busy"};
    return Serve(content_, request);
  });
  EXPECT_TRUE(Fetch(Of(server)).ok());
  EXPECT_EQ(Got(), content_);
}

TEST_F(FetchTest, WhatIsNotThereIsNotAskedForAgain) {
  const TestServer server([&](const Request&) {
    return Reply{404, {"Content-Length: 9"}, "not found"};
  });
  EXPECT_EQ(Fetch(Of(server)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(FetchTest, NobodyThere) {
  Download download;
  {
    const TestServer server([](const Request&) { return Reply{}; });
    download = Of(server);
  }
  EXPECT_EQ(Fetch(download).status().code(), absl::StatusCode::kInternal);
}

TEST_F(FetchTest, FollowsRedirectsAndBelievesTheFirstServersChecksum) {
  std::string etag = Sha256Hex(content_);
  const TestServer server([&](const Request& request) {
    if (request.path == "/store") return Serve(content_, request);
    return Reply{
        302,
        {absl::StrCat("X-Linked-Etag: \"", etag, "\""), "Location: /store", "Content-Length: 0"},
        ""};
  });
  Download download = Of(server);
  download.checksum = {};
  const auto fetched = Fetch(download);
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_TRUE(fetched->checked);
  ASSERT_TRUE(RemoveTree(Place()).ok());
  etag = Sha256Hex("something else");
  EXPECT_EQ(Fetch(download).status().code(), absl::StatusCode::kDataLoss);
  ExpectNothingKept();
}

TEST_F(FetchTest, SaysWhenThereIsNoChecksum) {
  const TestServer server([&](const Request& request) { return Serve(content_, request); });
  Download download = Of(server);
  download.checksum = {};
  const auto fetched = Fetch(download);
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_FALSE(fetched->checked);
}

TEST_F(FetchTest, WithoutAChecksumOnlyTheSameVersionIsContinued) {
  const std::string second(300'000, 'b');
  bool changes = true;
  const TestServer server([&](const Request& request) {
    const bool changed = changes && server_calls_++ > 0;
    Reply reply = Serve(changed ? second : content_, request, changed ? SIZE_MAX : 70'000);
    reply.headers.push_back(changed ? "ETag: \"2\"" : "ETag: \"1\"");
    return reply;
  });
  Download download = Of(server);
  download.checksum = {};
  ASSERT_TRUE(Fetch(download).ok());
  EXPECT_EQ(Got(), second);
  EXPECT_EQ(server.requests().size(), 3u);  // the first part, what does not belong to it, all anew
  changes = false;
  ASSERT_TRUE(Fetch(download).ok());
  EXPECT_EQ(Got(), content_);
  EXPECT_EQ(server.requests().back().range_begin, 280'000);
}

TEST_F(FetchTest, StopsWhenTold) {
  const TestServer server([&](const Request&) { return Reply{200, {}, content_, true}; });
  Download download = Of(server);
  download.progress = [](int64_t done, int64_t) { return done == 0; };
  EXPECT_EQ(Fetch(download).status().code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(PathExists(Place()));
}

TEST_F(FetchTest, OnlyOneAtATime) {
  const TestServer server([&](const Request& request) { return Serve(content_, request); });
  Download download = Of(server);
  absl::StatusCode second = absl::StatusCode::kOk;
  download.progress = [&](int64_t, int64_t) {
    if (second == absl::StatusCode::kOk) second = Fetch(Of(server)).status().code();
    return true;
  };
  EXPECT_TRUE(Fetch(download).ok());
  EXPECT_EQ(second, absl::StatusCode::kAborted);
}

// Two that take turns to open a file and to move it away, as a finished download is: nobody may get
// what has been moved already.
TEST_F(FetchTest, WhoOpensAloneHasTheFileAtThePath) {
  const auto take_turns = [this](const std::string& moved) {
    for (int i = 0; i < 3000; ++i) {
      const auto fd = OpenAlone(Partial());
      if (!fd.ok()) continue;
      struct stat opened, named;
      ASSERT_EQ(::fstat(fd->get(), &opened), 0);
      ASSERT_EQ(::stat(Partial().c_str(), &named), 0);
      ASSERT_EQ(opened.st_ino, named.st_ino);
      ASSERT_EQ(::rename(Partial().c_str(), moved.c_str()), 0);
    }
  };
  std::thread other([&] { take_turns(Place() + ".other"); });
  take_turns(Place());
  other.join();
}

}  // namespace
}  // namespace qsweep::qctl
