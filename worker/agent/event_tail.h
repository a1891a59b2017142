// Reads an attempt's events.log and decides what to send of it: from the last position the
// scheduler has stored, with a bounded amount not yet acknowledged.
#ifndef QSWEEP_WORKER_AGENT_EVENT_TAIL_H_
#define QSWEEP_WORKER_AGENT_EVENT_TAIL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "qsweep/v1/event.pb.h"
#include "qsweep/v1/worker.pb.h"

namespace qsweep {

inline constexpr uint64_t kEventBatchBytes = 256 << 10;
inline constexpr uint64_t kEventWindowBytes = 1 << 20;

// Not thread-safe.
class EventTail {
 public:
  explicit EventTail(std::string path) : path_(std::move(path)) {}

  // The scheduler has everything before `offset`: the next batch begins there.
  void Rewind(uint64_t offset);
  // The same, said while batches are under way: those beyond `offset` still count as sent, unless
  // `offset` lies before what was acknowledged already, which rewinds.
  void Acknowledge(uint64_t offset);

  // The next batch, its attempt not filled in; nullopt while nothing is whole or the window is
  // full. The same one again until Sent.
  absl::StatusOr<std::optional<v1::EventBatch>> Next() const;
  void Sent(const v1::EventBatch& batch) { sent_ = batch.end_offset(); }

  uint64_t sent() const { return sent_; }
  bool AllAcknowledged() const { return acknowledged_ == sent_; }
  // No whole record lies behind what was sent. Says nothing of a trainer that still writes.
  absl::StatusOr<bool> AtEnd() const;

  // What was written since it was last asked, about a megabyte at a time, whether or not any of it
  // can be sent.
  std::vector<v1::Event> News();

 private:
  std::string path_;
  uint64_t acknowledged_ = 0;
  uint64_t sent_ = 0;
  uint64_t seen_ = 0;
};

// The Finished or Failed of a log that nobody writes any more; nullopt if it has none.
absl::StatusOr<std::optional<v1::Event>> ReadLastWord(const std::string& path);

// The files, with names relative to the attempt directory, that an event promises.
std::vector<v1::FileFact> FilesNamedBy(const v1::Event& event);

// The last `max_bytes` of a file as valid UTF-8 (anything else becomes '?'); empty if there is
// none.
std::string TextTail(const std::string& path, int64_t max_bytes);

}  // namespace qsweep

#endif  // QSWEEP_WORKER_AGENT_EVENT_TAIL_H_
