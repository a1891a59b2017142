#include "worker/engine/base/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "common/file.h"
#include "common/safetensors_limits.h"
#include "common/status.h"

namespace qsweep::engine {
namespace {

using nlohmann::json;

constexpr int kMaxHeaderDepth = 3;
constexpr size_t kMaxDimensions = 16;

struct Dtype {
  const char* name;
  at::ScalarType type;
};
constexpr Dtype kDtypes[] = {
    {"F64", at::kDouble}, {"F32", at::kFloat}, {"F16", at::kHalf},  {"BF16", at::kBFloat16},
    {"I64", at::kLong},   {"I32", at::kInt},   {"I16", at::kShort}, {"I8", at::kChar},
    {"U8", at::kByte},    {"BOOL", at::kBool},
};

const Dtype* FindDtype(const std::string& name) {
  for (const Dtype& dtype : kDtypes) {
    if (name == dtype.name) return &dtype;
  }
  return nullptr;
}

const char* DtypeName(at::ScalarType type) {
  for (const Dtype& dtype : kDtypes) {
    if (type == dtype.type) return dtype.name;
  }
  return nullptr;
}

// One tensor as the header describes it, [begin, end) counted from the end of the header.
struct Entry {
  std::string name;
  at::ScalarType type = at::kFloat;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;
};

absl::Status ReadAt(int fd, uint64_t offset, char* to, uint64_t bytes, const std::string& path) {
  while (bytes > 0) {
    const ssize_t n = ::pread(fd, to, bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path, "read");
    if (n == 0) return absl::DataLossError(absl::StrCat(path, ": ends at byte ", offset));
    to += n;
    offset += static_cast<uint64_t>(n);
    bytes -= static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

// Messages of this and the next two begin where their caller's prefix (path, tensor) ends.
absl::StatusOr<Entry> ParseEntry(const std::string& name, const json& value) {
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() ||
      !value.contains("shape") || !value["shape"].is_array() || !value.contains("data_offsets") ||
      !value["data_offsets"].is_array() || value["data_offsets"].size() != 2) {
    return absl::DataLossError("needs dtype, shape and two data_offsets");
  }
  Entry entry{.name = name};
  const Dtype* const dtype = FindDtype(value["dtype"].get<std::string>());
  if (dtype == nullptr) {
    return absl::DataLossError(absl::StrCat("unknown dtype ", value["dtype"].get<std::string>()));
  }
  entry.type = dtype->type;
  const json& shape = value["shape"];
  if (shape.size() > kMaxDimensions) return absl::DataLossError("more than 16 dimensions");
  uint64_t bytes = c10::elementSize(entry.type);
  for (const json& size : shape) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > uint64_t{INT64_MAX} ||
        __builtin_mul_overflow(bytes, size.get<uint64_t>(), &bytes)) {
      return absl::DataLossError("impossible shape");
    }
    entry.shape.push_back(size.get<int64_t>());
  }
  const json& offsets = value["data_offsets"];
  if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    return absl::DataLossError("data_offsets are no byte positions");
  }
  entry.begin = offsets[0].get<uint64_t>();
  entry.end = offsets[1].get<uint64_t>();
  if (entry.begin > entry.end || entry.end - entry.begin != bytes) {
    return absl::DataLossError(absl::StrCat("data_offsets ", entry.begin, "..", entry.end,
                                            ", but shape and dtype make ", bytes, " bytes"));
  }
  return entry;
}

// `duplicate` gets a key of the outermost object that is there twice: JSON allows it, but which of
// the two tensors is meant? No object: what no header can be.
json ParseHeader(const std::string& text, std::string* duplicate) {
  struct TooDeep {};
  std::set<std::string> seen;
  const auto note = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMaxHeaderDepth) throw TooDeep();
    if (event == json::parse_event_t::key && depth == 1 &&
        !seen.insert(parsed.get<std::string>()).second) {
      *duplicate = parsed.get<std::string>();
    }
    return true;
  };
  try {
    return json::parse(text, note, /*allow_exceptions=*/false);
  } catch (const TooDeep&) {
    return json();
  }
}

absl::Status ParseMetadata(const json& value, std::map<std::string, std::string>* metadata) {
  if (!value.is_object()) return absl::DataLossError("no object of strings");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) return absl::DataLossError(absl::StrCat(key, ": no string"));
    (*metadata)[key] = text.get<std::string>();
  }
  return absl::OkStatus();
}

// The tensors must lie one after the other and fill [0, data_bytes).
absl::Status CheckLayout(std::vector<Entry>& entries, uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t position = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != position) {
      return absl::DataLossError(absl::StrCat(entry.name, ": begins at byte ", entry.begin,
                                              ", the tensor before it ends at ", position));
    }
    position = entry.end;
  }
  if (position != data_bytes) {
    return absl::DataLossError(absl::StrCat("holds ", data_bytes,
                                            " bytes of tensors, its header describes ", position,
                                            ": truncated or overwritten?"));
  }
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> ReadTensor(int fd, uint64_t data_begin, const Entry& entry,
                                      const std::string& path) {
  at::Tensor tensor = at::empty(entry.shape, entry.type);
  RETURN_IF_ERROR(ReadAt(fd, data_begin + entry.begin, static_cast<char*>(tensor.data_ptr()),
                         entry.end - entry.begin, path));
  if (entry.type == at::kBool) {
    const uint8_t* const bytes = static_cast<const uint8_t*>(tensor.data_ptr());
    if (std::any_of(bytes, bytes + tensor.numel(), [](uint8_t b) { return b > 1; })) {
      return absl::DataLossError(
          absl::StrCat(path, ": ", entry.name, ": a BOOL other than 0 and 1"));
    }
  }
  return tensor;
}

}  // namespace

absl::Status ReadTensors(const std::string& path, const TakeTensor& take,
                         std::map<std::string, std::string>* metadata) {
  // Not to wait for whoever writes a pipe.
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, path, "open");
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, path, "stat");
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a regular file"));
  }
  const uint64_t file_bytes = static_cast<uint64_t>(info.st_size);

  uint64_t header_bytes = 0;
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  if (file_bytes < sizeof header_bytes) {
    return absl::DataLossError(
        absl::StrCat(path, ": ", file_bytes, " bytes are no safetensors file"));
  }
  RETURN_IF_ERROR(
      ReadAt(fd.get(), 0, reinterpret_cast<char*>(&header_bytes), sizeof header_bytes, path));
  if (header_bytes > kMaxSafetensorsHeaderBytes ||
      header_bytes > file_bytes - sizeof header_bytes) {
    return absl::DataLossError(absl::StrCat(path, ": a header of ", header_bytes,
                                            " bytes in a file of ", file_bytes,
                                            ": truncated, or no safetensors file"));
  }
  std::string text(header_bytes, '\0');
  RETURN_IF_ERROR(ReadAt(fd.get(), sizeof header_bytes, text.data(), header_bytes, path));
  std::string duplicate;
  const json header = ParseHeader(text, &duplicate);
  if (!duplicate.empty()) {
    return absl::DataLossError(absl::StrCat(path, ": the header names ", duplicate, " twice"));
  }
  if (!header.is_object()) {
    return absl::DataLossError(absl::StrCat(path, ": the header is no JSON object"));
  }

  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    const std::string where = absl::StrCat(path, ": ", name);
    if (name == "__metadata__") {
      RETURN_IF_ERROR(Annotate(ParseMetadata(value, metadata), where));
      continue;
    }
    absl::StatusOr<Entry> entry = ParseEntry(name, value);
    if (!entry.ok()) return Annotate(entry.status(), where);
    entries.push_back(*std::move(entry));
  }
  const uint64_t data_begin = sizeof header_bytes + header_bytes;
  RETURN_IF_ERROR(Annotate(CheckLayout(entries, file_bytes - data_begin), path));
  for (const Entry& entry : entries) {
    ASSIGN_OR_RETURN(const at::Tensor tensor, ReadTensor(fd.get(), data_begin, entry, path));
    RETURN_IF_ERROR(take(entry.name, tensor));
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorFile> ReadTensorFile(const std::string& path) {
  TensorFile file;
  const auto keep = [&file](const std::string& name, const at::Tensor& tensor) {
    file.tensors[name] = tensor;
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ReadTensors(path, keep, &file.metadata));
  return file;
}

absl::Status WriteTensorFile(const std::string& path, const TensorFile& file) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& [name, tensor] : file.tensors) {
    if (DtypeName(tensor.scalar_type()) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": ", name, ": safetensors has no dtype ", c10::toString(tensor.scalar_type())));
    }
    tensors.emplace_back(name, tensor.detach().cpu().contiguous());
  }
  // Widest elements first: then every tensor lies aligned, as readers that map the file expect.
  std::stable_sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return a.second.element_size() > b.second.element_size();
  });

  json header = json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  uint64_t position = 0;
  std::vector<absl::string_view> pieces(1);
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", DtypeName(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {position, position + tensor.nbytes()}}};
    position += tensor.nbytes();
    pieces.emplace_back(static_cast<const char*>(tensor.data_ptr()), tensor.nbytes());
  }
  // Names and metadata that are no UTF-8 are written with replacement characters, not refused.
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text.append(-text.size() % 8, ' ');
  const uint64_t header_bytes = text.size();
  text.insert(0, reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes);
  pieces[0] = text;
  return WriteFileAtomic(path, pieces);
}

}  // namespace qsweep::engine
