#include "worker/agent/event_tail.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/event_log.h"
#include "common/file.h"
#include "common/testing/file_tree.h"

namespace qsweep {
namespace {

v1::Event Line(const std::string& text) {
  v1::Event event;
  event.mutable_log()->set_text(text);
  return event;
}

class EventTailTest : public FileTreeTest {
 protected:
  EventLogWriter Create() { return *EventLogWriter::Create(path_); }

  // What Next gives, and taken as sent.
  static std::vector<std::string> Take(EventTail* tail) {
    std::vector<std::string> texts;
    const auto batch = tail->Next();
    EXPECT_TRUE(batch.ok()) << batch.status();
    if (!batch.ok() || !batch->has_value()) return texts;
    for (const v1::Event& event : (*batch)->events()) texts.push_back(event.log().text());
    tail->Sent(**batch);
    return texts;
  }

  const std::string path_ = JoinPath(root_, "events.log");
};

using Texts = std::vector<std::string>;

TEST_F(EventTailTest, FollowsAGrowingLog) {
  EventTail tail(path_);
  EXPECT_EQ(Take(&tail), Texts());
  EXPECT_TRUE(*tail.AtEnd());
  EventLogWriter log = Create();
  EXPECT_EQ(Take(&tail), Texts());
  ASSERT_TRUE(log.Append(Line("a")).ok());
  ASSERT_TRUE(log.Append(Line("b")).ok());
  EXPECT_FALSE(*tail.AtEnd());
  const auto batch = tail.Next();
  EXPECT_EQ((*batch)->begin_offset(), 0u);
  EXPECT_EQ(Take(&tail), (Texts{"a", "b"}));
  EXPECT_TRUE(*tail.AtEnd());
  EXPECT_FALSE(tail.AllAcknowledged());
  ASSERT_TRUE(log.Append(Line("c")).ok());
  EXPECT_EQ(tail.Next()->value().begin_offset(), (*batch)->end_offset());
  EXPECT_EQ(Take(&tail), Texts{"c"});
  tail.Acknowledge(static_cast<uint64_t>(*FileSize(path_)));
  EXPECT_TRUE(tail.AllAcknowledged());
}

TEST_F(EventTailTest, LowerAcknowledgementRewindsAnEqualOneDoesNot) {
  EventLogWriter log = Create();
  EventTail tail(path_);
  ASSERT_TRUE(log.Append(Line("a")).ok());
  const uint64_t after_a = static_cast<uint64_t>(*FileSize(path_));
  Take(&tail);
  ASSERT_TRUE(log.Append(Line("b")).ok());
  Take(&tail);
  const uint64_t after_b = static_cast<uint64_t>(*FileSize(path_));
  tail.Acknowledge(after_a);  // of what is under way, the first part
  EXPECT_EQ(Take(&tail), Texts());
  tail.Acknowledge(after_a);
  EXPECT_EQ(Take(&tail), Texts());
  tail.Acknowledge(after_b);
  tail.Acknowledge(after_a);  // the scheduler has lost b
  EXPECT_EQ(Take(&tail), Texts{"b"});
  tail.Rewind(0);
  EXPECT_EQ(Take(&tail), (Texts{"a", "b"}));
}

TEST_F(EventTailTest, UnacknowledgedBytesAreBounded) {
  EventLogWriter log = Create();
  const std::string text(1000, 'x');
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(log.Append(Line(text)).ok());
  EventTail tail(path_);
  size_t sent = 0, batches = 0;
  while (const size_t n = Take(&tail).size()) {
    sent += n;
    ++batches;
  }
  // The window, rounded up to a batch; of 5 MB in the log.
  EXPECT_GE(sent * 1000, kEventWindowBytes * 9 / 10);
  EXPECT_LE(sent * 1000, kEventWindowBytes + 2 * kEventBatchBytes);
  EXPECT_GE(batches, 4u);
  tail.Acknowledge(kEventWindowBytes / 2);
  EXPECT_GT(Take(&tail).size(), 0u);
}

TEST_F(EventTailTest, DamageEndsTheLog) {
  EventLogWriter log = Create();
  ASSERT_TRUE(log.Append(Line("a")).ok());
  ASSERT_TRUE(log.Append(Line("b")).ok());
  std::filesystem::resize_file(path_, static_cast<uintmax_t>(*FileSize(path_) - 1));
  EventTail tail(path_);
  EXPECT_EQ(Take(&tail), Texts{"a"});
  EXPECT_EQ(Take(&tail), Texts());
  EXPECT_TRUE(*tail.AtEnd());
}

TEST_F(EventTailTest, NewsDoNotWaitForTheScheduler) {
  EventTail tail(path_);
  EXPECT_TRUE(tail.News().empty());
  EventLogWriter log = Create();
  const std::string text(1000, 'x');
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(log.Append(Line(text)).ok());
  while (!Take(&tail).empty()) continue;  // the window is full
  size_t news = 0;
  while (const size_t n = tail.News().size()) news += n;
  EXPECT_EQ(news, 5000u);
  ASSERT_TRUE(log.Append(Line("a")).ok());
  EXPECT_EQ(tail.News().size(), 1u);
}

TEST_F(EventTailTest, LastWord) {
  EXPECT_FALSE(ReadLastWord(path_)->has_value());
  EventLogWriter log = Create();
  ASSERT_TRUE(log.Append(Line("a")).ok());
  EXPECT_FALSE(ReadLastWord(path_)->has_value());
  v1::Event failed;
  failed.mutable_failed()->set_message("why");
  ASSERT_TRUE(log.Append(failed).ok());
  EXPECT_EQ((*ReadLastWord(path_))->failed().message(), "why");
}

TEST_F(EventTailTest, NoEventLogIsAnError) {
  Write("events.log", "this is something else");
  EXPECT_TRUE(absl::IsDataLoss(EventTail(path_).Next().status()));
}

TEST_F(EventTailTest, TextTailIsValidUtf8) {
  const std::string path = JoinPath(root_, "output.txt");
  EXPECT_EQ(TextTail(path, 100), "");
  const auto tail_of = [&path](absl::string_view bytes, int64_t max_bytes) {
    EXPECT_TRUE(WriteFileAtomic(path, bytes).ok());
    return TextTail(path, max_bytes);
  };
  EXPECT_EQ(tail_of("abcdef", 3), "def");
  EXPECT_EQ(tail_of("h\xc3\xa4r\xe2\x82\xac", 100), "h\xc3\xa4r\xe2\x82\xac");
  EXPECT_EQ(tail_of("x\xe2\x82\xacy", 3), "y");  // the cut went through the euro sign
  // A stray byte, an overlong '/', a surrogate, a character beyond U+10FFFF, one cut off.
  EXPECT_EQ(tail_of("a\xff"
                    "b\xc0\xaf"
                    "c\xed\xa0\x80"
                    "d\xf4\x90\x80\x80"
                    "e\xe2\x82",
                    100),
            "a?b??c???d????e??");
}

}  // namespace
}  // namespace qsweep
