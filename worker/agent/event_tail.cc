#include "worker/agent/event_tail.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/event_log.h"
#include "common/file.h"
#include "common/status.h"
#include "common/utf8.h"

namespace qsweep {
namespace {

// A log that its trainer has not begun is an empty one.
absl::StatusOr<EventLogChunk> ReadFrom(const std::string& path, uint64_t offset,
                                       uint64_t max_bytes) {
  absl::StatusOr<EventLogChunk> chunk = ReadEventLog(path, offset, max_bytes);
  if (absl::IsNotFound(chunk.status())) {
    return EventLogChunk{offset, offset, {}};
  }
  return chunk;
}

}  // namespace

void EventTail::Rewind(uint64_t offset) { acknowledged_ = sent_ = offset; }

void EventTail::Acknowledge(uint64_t offset) {
  if (offset < acknowledged_) return Rewind(offset);
  acknowledged_ = offset;
  sent_ = std::max(sent_, offset);
}

absl::StatusOr<std::optional<v1::EventBatch>> EventTail::Next() const {
  if (sent_ - acknowledged_ >= kEventWindowBytes) return std::nullopt;
  // Asked often; most times nothing was written since.
  const absl::StatusOr<int64_t> size = FileSize(path_);
  if (!size.ok() || static_cast<uint64_t>(*size) <= sent_) return std::nullopt;
  ASSIGN_OR_RETURN(EventLogChunk chunk, ReadFrom(path_, sent_, kEventBatchBytes));
  if (chunk.events.empty()) return std::nullopt;
  v1::EventBatch batch;
  batch.set_begin_offset(sent_);
  batch.set_end_offset(chunk.end_offset);
  for (v1::Event& event : chunk.events) *batch.add_events() = std::move(event);
  return batch;
}

absl::StatusOr<bool> EventTail::AtEnd() const {
  ASSIGN_OR_RETURN(const EventLogChunk chunk, ReadFrom(path_, sent_, 1));
  return chunk.events.empty();
}

std::vector<v1::Event> EventTail::News() {
  const absl::StatusOr<int64_t> size = FileSize(path_);
  if (!size.ok() || static_cast<uint64_t>(*size) <= seen_) return {};
  absl::StatusOr<EventLogChunk> chunk = ReadFrom(path_, seen_, kEventWindowBytes);
  if (!chunk.ok()) return {};  // Next says why
  seen_ = chunk->end_offset;
  return std::move(chunk->events);
}

absl::StatusOr<std::optional<v1::Event>> ReadLastWord(const std::string& path) {
  std::optional<v1::Event> last_word;
  uint64_t offset = 0;
  while (true) {
    ASSIGN_OR_RETURN(EventLogChunk chunk, ReadFrom(path, offset, kEventBatchBytes));
    if (chunk.events.empty()) return last_word;
    for (v1::Event& event : chunk.events) {
      if (event.has_finished() || event.has_failed()) last_word = std::move(event);
    }
    offset = chunk.end_offset;
  }
}

std::vector<v1::FileFact> FilesNamedBy(const v1::Event& event) {
  if (event.has_checkpoint()) return {event.checkpoint().file()};
  if (!event.has_finished()) return {};
  const auto& files = event.finished().result().files();
  return {files.begin(), files.end()};
}

std::string TextTail(const std::string& path, int64_t max_bytes) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const off_t size = fd.valid() ? ::lseek(fd.get(), 0, SEEK_END) : 0;
  if (size <= 0) return "";
  // One byte more, if there is one, tells that the text is cut.
  std::string bytes(static_cast<size_t>(std::min<int64_t>(size, max_bytes + 1)), '\0');
  const ssize_t n =
      ::pread(fd.get(), bytes.data(), bytes.size(), size - static_cast<off_t>(bytes.size()));
  bytes.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
  return ToUtf8(Ending(bytes, static_cast<size_t>(max_bytes)));
}

}  // namespace qsweep
