#include "common/event_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status.h"
#include "common/utf8.h"

namespace qsweep {
namespace {

constexpr absl::string_view kHeader("QSWEVT1\n", 8);
constexpr uint64_t kRecordHeader = 8;
constexpr uint64_t kWindowBytes = 64 << 10;

void PutUint32(uint32_t value, char* to) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<char>(value >> (8 * i));
}

uint32_t GetUint32(const char* from) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i)
    value |= static_cast<uint32_t>(static_cast<uint8_t>(from[i])) << (8 * i);
  return value;
}

// As many bytes as there are, up to `size`.
absl::StatusOr<std::string> ReadAt(int fd, uint64_t offset, uint64_t size,
                                   const std::string& path) {
  std::string bytes(size, '\0');
  uint64_t done = 0;
  while (done < size) {
    const ssize_t n =
        ::pread(fd, bytes.data() + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path, "read");
    if (n == 0) break;
    done += static_cast<uint64_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace

absl::StatusOr<EventLogWriter> EventLogWriter::Create(const std::string& path) {
  FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644));
  if (!fd.valid() && errno == EEXIST) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, ": exists; give every attempt a directory of its own"));
  }
  if (!fd.valid()) return ErrnoStatus(errno, path, "create");
  RETURN_IF_ERROR(WriteAll(fd.get(), kHeader, path));
  return EventLogWriter(std::move(fd), path);
}

absl::Status EventLogWriter::Append(const v1::Event& event) {
  std::string record(kRecordHeader, '\0');
  if (!event.AppendToString(&record)) return absl::InternalError("event cannot be serialized");
  if (!v1::Event().ParseFromString(record.substr(kRecordHeader))) {
    v1::Event readable = event;  // it names a file, perhaps
    MakeUtf8(&readable);
    record.resize(kRecordHeader);
    if (!readable.AppendToString(&record)) return absl::InternalError("event cannot be serialized");
  }
  const absl::string_view payload = absl::string_view(record).substr(kRecordHeader);
  if (payload.empty() || static_cast<int64_t>(payload.size()) > kMaxEventBytes) {
    return absl::InvalidArgumentError(absl::StrCat("an event of ", payload.size(), " bytes"));
  }
  PutUint32(static_cast<uint32_t>(payload.size()), record.data());
  PutUint32(Crc32(payload), record.data() + 4);
  const off_t end = ::lseek(fd_.get(), 0, SEEK_END);
  const absl::Status written = WriteAll(fd_.get(), record, path_);
  // Half a record would hide what is said after it: why the run failed, for instance.
  if (!written.ok() && end >= 0) (void)!::ftruncate(fd_.get(), end);
  return written;
}

absl::Status EventLogWriter::Sync() {
  if (::fdatasync(fd_.get()) != 0) return ErrnoStatus(errno, path_, "fdatasync");
  return absl::OkStatus();
}

absl::StatusOr<EventLogChunk> ReadEventLog(const std::string& path, uint64_t offset,
                                           uint64_t max_bytes) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path, "open");
  ASSIGN_OR_RETURN(const std::string header, ReadAt(fd.get(), 0, kHeader.size(), path));
  if (header.size() < kHeader.size()) return absl::NotFoundError(absl::StrCat(path, ": not begun"));
  if (header != kHeader) return absl::DataLossError(absl::StrCat(path, ": not an event log"));

  EventLogChunk chunk;
  chunk.begin_offset = chunk.end_offset = std::max<uint64_t>(offset, kHeader.size());
  // Large enough for most chunks; a record that is larger gets what it needs, and no more.
  uint64_t window = std::min(max_bytes, kWindowBytes);
  while (chunk.end_offset - chunk.begin_offset < max_bytes) {
    ASSIGN_OR_RETURN(const std::string bytes, ReadAt(fd.get(), chunk.end_offset, window, path));
    uint64_t at = 0;
    while (chunk.end_offset - chunk.begin_offset < max_bytes) {
      const absl::string_view rest = absl::string_view(bytes).substr(at);
      if (rest.size() < kRecordHeader) break;
      const uint64_t size = GetUint32(rest.data());
      if (size == 0 || size > static_cast<uint64_t>(kMaxEventBytes)) return chunk;
      if (rest.size() < kRecordHeader + size) break;
      const absl::string_view payload = rest.substr(kRecordHeader, size);
      v1::Event event;
      if (Crc32(payload) != GetUint32(rest.data() + 4) ||
          !event.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
        return chunk;
      }
      chunk.events.push_back(std::move(event));
      at += kRecordHeader + size;
      chunk.end_offset += kRecordHeader + size;
    }
    if (bytes.size() < window) return chunk;  // the end of the file
    // The next record begins in the window: read on from it, with room for the whole of it.
    const uint64_t left = bytes.size() - at;
    window = left >= kRecordHeader ? std::max(kWindowBytes, kRecordHeader + GetUint32(&bytes[at]))
                                   : kWindowBytes;
  }
  return chunk;
}

}  // namespace qsweep
