// An events.log of any bytes, read in pieces: the records come out as they do in one.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/event_log.h"
#include "common/status.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const qsweep::FileDescriptor fd(::memfd_create("events.log", MFD_CLOEXEC));
  const std::string path = absl::StrCat("/proc/self/fd/", fd.get());
  QSWEEP_CHECK(qsweep::WriteAll(fd.get(), {reinterpret_cast<const char*>(data), size}, path).ok());
  const auto whole = qsweep::ReadEventLog(path, 0, UINT64_MAX / 2);
  if (!whole.ok()) return 0;
  QSWEEP_CHECK(whole->end_offset <= size);
  uint64_t offset = 0;
  size_t events = 0;
  while (true) {
    const auto chunk = qsweep::ReadEventLog(path, offset, 1);
    QSWEEP_CHECK(chunk.ok());
    events += chunk->events.size();
    if (chunk->events.empty()) break;
    offset = chunk->end_offset;
  }
  QSWEEP_CHECK(events == whole->events.size());
  QSWEEP_CHECK(events == 0 || offset == whole->end_offset);
  return 0;
}
