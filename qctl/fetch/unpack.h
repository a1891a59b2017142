// What is wanted of a .tar.gz.
#ifndef QSWEEP_QCTL_FETCH_UNPACK_H_
#define QSWEEP_QCTL_FETCH_UNPACK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace qsweep::qctl {

// Writes the regular files whose last name component is one of `members` into `directory`, which
// appears whole, in place of one that was there, or not at all; other entries are passed over,
// whatever they are. DataLoss if the archive is damaged, lacks a member, or unpacks to more than
// max_bytes.
absl::Status UnpackMembers(const std::string& archive, const std::vector<std::string>& members,
                           const std::string& directory, int64_t max_bytes);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_FETCH_UNPACK_H_
