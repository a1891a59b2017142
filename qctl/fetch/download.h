// One file from a web server to its place on disk: resumed where it broke off, checked, and there
// either whole or not at all.
#ifndef QSWEEP_QCTL_FETCH_DOWNLOAD_H_
#define QSWEEP_QCTL_FETCH_DOWNLOAD_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/file.h"

namespace qsweep::qctl {

struct Checksum {
  enum class Kind { kNone, kMd5, kSha256 };
  Kind kind = Kind::kNone;
  std::string hex;
};

struct Download {
  std::string url;          // http or https
  std::string destination;  // its directory is made
  // What the content must have. kNone: what a Hugging Face server says of it (X-Linked-Etag).
  Checksum checksum;
  // What it must be besides, told by the file's name once it is whole: DataLoss throws it away.
  std::function<absl::Status(const std::string& path)> check;
  int64_t max_bytes = int64_t{4} << 30;
  // Times to go on after the connection broke off or the server was at fault, without a byte more.
  int retries = 4;
  absl::Duration backoff = absl::Seconds(1);  // doubled each time
  // Called as bytes come; `total` is 0 while unknown. False: stop.
  std::function<bool(int64_t done, int64_t total)> progress;
  // Called when the connection broke off, before the wait that comes before the next try.
  std::function<void(const absl::Status& why, absl::Duration wait)> retry;
};

struct Downloaded {
  int64_t bytes = 0;
  bool checked = false;  // a checksum was known, and is right
};

// What has come is kept in DESTINATION.partial, so that the same call later goes on from there, if
// a checksum or, within a call, the server's ETag or Last-Modified tells that the two parts belong
// together. What was at the destination is replaced by the whole file only.
// Errors: DataLoss (and nothing kept) when the content is not what it should be; NotFound;
// ResourceExhausted when it is beyond max_bytes; Cancelled; Aborted when another process fetches
// the same; Internal with the server's or the network's words when the retries are used up.
absl::StatusOr<Downloaded> Fetch(const Download& download);

// Opens a file, made with its directory if need be, that no other process has open this way, to be
// appended to. Aborted while another has; closing it lets the next one in.
absl::StatusOr<FileDescriptor> OpenAlone(const std::string& path);

// Whether a file that is there has the checksum.
bool Matches(const std::string& path, const Checksum& checksum);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_FETCH_DOWNLOAD_H_
