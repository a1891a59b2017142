#include "qctl/fetch/safetensors.h"

#include <fcntl.h>
#include <google/protobuf/struct.pb.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "common/file.h"
#include "common/proto_json.h"
#include "common/safetensors_limits.h"
#include "common/status.h"

namespace qsweep::qctl {
namespace {

using google::protobuf::Value;

constexpr double kLengthBytes = 8;

// Where the bytes of a tensor end, counted from the end of the header; negative if that is not
// said. A double holds every length of a file.
double EndOf(const Value& tensor) {
  const auto& fields = tensor.struct_value().fields();
  const auto offsets = fields.find("data_offsets");
  if (offsets == fields.end() || offsets->second.list_value().values_size() != 2 ||
      !fields.contains("dtype") || !fields.contains("shape")) {
    return -1;
  }
  const double begin = offsets->second.list_value().values(0).number_value();
  const double end = offsets->second.list_value().values(1).number_value();
  return begin >= 0 && begin <= end ? end : -1;
}

}  // namespace

absl::Status CheckSafetensors(const std::string& path) {
  const auto bad = [&path](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(path, ": no safetensors file: ", what));
  };
  ASSIGN_OR_RETURN(const int64_t bytes, FileSize(path));
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path, "open");
  unsigned char length[8] = {};
  if (::pread(fd.get(), length, sizeof length, 0) != sizeof length) return bad("it is too short");
  double size = 0;
  for (int i = 7; i >= 0; --i) size = 256 * size + length[i];
  if (size > kMaxSafetensorsHeaderBytes || size > static_cast<double>(bytes) - kLengthBytes) {
    return bad("it does not begin with the length of a header");
  }
  std::string header(static_cast<size_t>(size), '\0');
  if (::pread(fd.get(), header.data(), header.size(), sizeof length) !=
      static_cast<ssize_t>(header.size())) {
    return bad("its header cannot be read");
  }
  google::protobuf::Struct tensors;
  if (!FromJson(header, &tensors).ok()) return bad("its header is not JSON");
  double last = 0;
  for (const auto& [name, tensor] : tensors.fields()) {
    if (name == "__metadata__") continue;
    const double end = EndOf(tensor);
    if (end < 0) return bad("its header does not describe tensors");
    last = std::max(last, end);
  }
  if (last == 0 || kLengthBytes + size + last != static_cast<double>(bytes)) {
    return bad("its tensors do not end where it ends");
  }
  return absl::OkStatus();
}

}  // namespace qsweep::qctl
