// events.log: how a trainer speaks to whoever supervises it, and the spool of what was not yet
// acknowledged. A header of 8 bytes, then records: length and CRC-32 of the payload (uint32 each,
// little-endian), then the payload, a serialized Event, of one byte at least: a machine that lost
// power may leave zeros. A record that is cut off or damaged ends the log: its writer died in the
// middle of it. Positions are byte offsets; 0 and 8 both mean the first record.
#ifndef QSWEEP_COMMON_EVENT_LOG_H_
#define QSWEEP_COMMON_EVENT_LOG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"
#include "qsweep/v1/event.pb.h"

namespace qsweep {

inline constexpr int64_t kMaxEventBytes = 4 << 20;

// One writer a file. Not thread-safe.
class EventLogWriter {
 public:
  // Makes the file; AlreadyExists if it is there (an attempt is never trained twice).
  static absl::StatusOr<EventLogWriter> Create(const std::string& path);
  // Handed to the kernel in one write: it survives the process, though not the machine.
  absl::Status Append(const v1::Event& event);
  // On disk when it returns: it survives the machine too.
  absl::Status Sync();

 private:
  EventLogWriter(FileDescriptor fd, std::string path)
      : fd_(std::move(fd)), path_(std::move(path)) {}
  FileDescriptor fd_;
  std::string path_;
};

struct EventLogChunk {
  uint64_t begin_offset = 0;
  uint64_t end_offset = 0;  // where to read on; equals begin_offset when nothing new is whole yet
  std::vector<v1::Event> events;
};

// Whole records from `offset` on, stopping after about `max_bytes`. NotFound while the file is
// missing or shorter than its header; DataLoss if this is no event log.
absl::StatusOr<EventLogChunk> ReadEventLog(const std::string& path, uint64_t offset,
                                           uint64_t max_bytes);

}  // namespace qsweep

#endif  // QSWEEP_COMMON_EVENT_LOG_H_
