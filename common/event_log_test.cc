#include "common/event_log.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/status.h"
#include "common/testing/temporary_directory.h"

namespace qsweep {
namespace {

class EventLogTest : public ::testing::Test {
 protected:
  static v1::Event Log(const std::string& text) {
    v1::Event event;
    event.mutable_log()->set_text(text);
    return event;
  }
  std::string Bytes() const { return ReadFile(path(), 64 << 20).value(); }
  std::string path() const { return directory_.Path("events.log"); }

  const TemporaryDirectory directory_;
};

TEST_F(EventLogTest, ReadsOnFromWhereItStopped) {
  EXPECT_EQ(ReadEventLog(path(), 0, 1000).status().code(), absl::StatusCode::kNotFound);
  auto writer = EventLogWriter::Create(path());
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_TRUE(ReadEventLog(path(), 0, 1000)->events.empty());

  ASSERT_TRUE(writer->Append(Log("one")).ok());
  const auto first = ReadEventLog(path(), 0, 1000);
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(first->events.size(), 1u);
  ASSERT_TRUE(writer->Append(Log("two")).ok());
  ASSERT_TRUE(writer->Sync().ok());
  const auto rest = ReadEventLog(path(), first->end_offset, 1000);
  ASSERT_EQ(rest->events.size(), 1u);
  EXPECT_EQ(rest->begin_offset, first->end_offset);
  EXPECT_EQ(rest->events[0].log().text(), "two");
  EXPECT_EQ(rest->end_offset, Bytes().size());
  EXPECT_TRUE(ReadEventLog(path(), rest->end_offset, 1000)->events.empty());
}

// A file's name may hold any bytes; a record with them could not be read, nor what follows it.
TEST_F(EventLogTest, TextThatIsNotUtf8IsReadableAllTheSame) {
  auto writer = EventLogWriter::Create(path());
  v1::Event finished;
  finished.mutable_finished()->mutable_result()->mutable_provenance()->set_weights_file("/m\xe4/x");
  finished.mutable_finished()->mutable_result()->add_files()->set_name("\xc3\xa4\xff");
  ASSERT_TRUE(writer->Append(finished).ok());
  ASSERT_TRUE(writer->Append(Log("after")).ok());
  const auto chunk = ReadEventLog(path(), 0, 1000);
  ASSERT_EQ(chunk->events.size(), 2u);
  const v1::RunResult& result = chunk->events[0].finished().result();
  EXPECT_EQ(result.provenance().weights_file(), "/m?/x");
  EXPECT_EQ(result.files(0).name(), "\xc3\xa4?");
}

TEST_F(EventLogTest, IsNeverWrittenByTwo) {
  ASSERT_TRUE(EventLogWriter::Create(path()).ok());
  EXPECT_EQ(EventLogWriter::Create(path()).status().code(), absl::StatusCode::kAlreadyExists);
}

// A writer may die after any byte: what was whole before is read, and nothing else.
TEST_F(EventLogTest, EveryCutKeepsTheWholeRecordsBeforeIt) {
  auto writer = EventLogWriter::Create(path());
  std::vector<uint64_t> ends = {Bytes().size()};
  for (const char* text : {"a", "bb", "ccc"}) {
    ASSERT_TRUE(writer->Append(Log(text)).ok());
    ends.push_back(Bytes().size());
  }
  for (uint64_t cut = ends.back(); cut-- > ends.front();) {
    ASSERT_EQ(::truncate(path().c_str(), static_cast<off_t>(cut)), 0);
    const auto chunk = ReadEventLog(path(), 0, 1000);
    ASSERT_TRUE(chunk.ok()) << chunk.status();
    size_t whole = 0;
    while (ends[whole + 1] <= cut) ++whole;
    EXPECT_EQ(chunk->events.size(), whole) << cut;
    EXPECT_EQ(chunk->end_offset, ends[whole]) << cut;
  }
}

TEST_F(EventLogTest, EveryFlippedByteEndsTheLogThere) {
  auto writer = EventLogWriter::Create(path());
  ASSERT_TRUE(writer->Append(Log("first")).ok());
  const uint64_t end = Bytes().size();
  ASSERT_TRUE(writer->Append(Log("second")).ok());
  const std::string good = Bytes();
  for (size_t i = end; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x40);
    ASSERT_TRUE(WriteFileAtomic(path(), bad).ok());
    const auto chunk = ReadEventLog(path(), 0, 1000);
    ASSERT_TRUE(chunk.ok());
    EXPECT_EQ(chunk->events.size(), 1u) << i;
    EXPECT_EQ(chunk->end_offset, end) << i;
  }
}

TEST_F(EventLogTest, ZerosEndTheLog) {
  auto writer = EventLogWriter::Create(path());
  ASSERT_TRUE(writer->Append(Log("first")).ok());
  const uint64_t end = Bytes().size();
  ASSERT_EQ(::truncate(path().c_str(), static_cast<off_t>(end + 4096)), 0);
  const auto chunk = ReadEventLog(path(), 0, 1 << 20);
  ASSERT_TRUE(chunk.ok()) << chunk.status();
  EXPECT_EQ(chunk->events.size(), 1u);
  EXPECT_EQ(chunk->end_offset, end);
  EXPECT_EQ(writer->Append(v1::Event()).code(), absl::StatusCode::kInvalidArgument);
}

// A disk that is full in the middle of it.
TEST_F(EventLogTest, WhatCouldNotBeWrittenWholeHidesNothingThatFollows) {
  auto writer = EventLogWriter::Create(path());
  ASSERT_TRUE(writer->Append(Log("first")).ok());
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit full{Bytes().size() + 10, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  const absl::Status cut = writer->Append(Log("cut"));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(cut.ok());
  ASSERT_TRUE(writer->Append(Log("last")).ok());
  const auto chunk = ReadEventLog(path(), 0, 1000);
  ASSERT_EQ(chunk->events.size(), 2u);
  EXPECT_EQ(chunk->events[1].log().text(), "last");
}

TEST_F(EventLogTest, RefusesOtherFiles) {
  ASSERT_TRUE(WriteFileAtomic(path(), "something else").ok());
  EXPECT_EQ(ReadEventLog(path(), 0, 1000).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(EventLogTest, ALargeRecordPassesASmallBudgetAndAHugeOneIsRefused) {
  auto writer = EventLogWriter::Create(path());
  ASSERT_TRUE(writer->Append(Log(std::string(1 << 20, 'x'))).ok());
  ASSERT_TRUE(writer->Append(Log("next")).ok());
  EXPECT_EQ(ReadEventLog(path(), 0, 1)->events.size(), 1u);
  EXPECT_EQ(writer->Append(Log(std::string(kMaxEventBytes, 'x'))).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace qsweep
