// TensorBoard's event files: TFRecords of Event messages.
#include <array>
#include <cstdint>
#include <map>

#include "absl/strings/str_cat.h"
#include "analysis/exports/exports.h"
#include "common/status.h"
#include "qsweep/v1/tensorboard.pb.h"

namespace qsweep {
namespace {

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? (crc >> 1) ^ 0x82F63B78u : crc >> 1;
    table[i] = crc;
  }
  return table;
}

void AppendLittleEndian(uint64_t value, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

uint32_t Masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

// tensorflow/core/lib/io/record_writer.h: length, CRC of it, data, CRC of it.
void AppendRecord(const v1::TensorBoardEvent& event, std::string* out) {
  const std::string data = event.SerializeAsString();
  const size_t begin = out->size();
  AppendLittleEndian(data.size(), 8, out);
  AppendLittleEndian(Masked(Crc32c(absl::string_view(*out).substr(begin))), 4, out);
  out->append(data);
  AppendLittleEndian(Masked(Crc32c(data)), 4, out);
}

}  // namespace

uint32_t Crc32c(absl::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = MakeCrcTable();
  uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF] ^ (crc >> 8);
  return crc ^ 0xFFFFFFFFu;
}

absl::Status WriteTensorBoard(const RunRecord& record, OutputDirectory& out) {
  if (record.curves.empty()) return absl::OkStatus();
  const int64_t start = TimeOf(record.detail.run());
  const double time = static_cast<double>(start) / 1e6;
  std::map<int64_t, v1::TensorBoardEvent> by_step;
  for (const v1::Curve& curve : record.curves) {
    for (int i = 0; i < curve.steps_size(); ++i) {
      v1::TensorBoardEvent& event = by_step[curve.steps(i)];
      event.set_wall_time(time);
      event.set_step(curve.steps(i));
      v1::TensorBoardValue& value = *event.mutable_summary()->add_value();
      value.set_tag(curve.name());
      value.set_simple_value(static_cast<float>(curve.values(i)));
    }
  }
  std::string bytes;
  v1::TensorBoardEvent head;
  head.set_wall_time(time);
  head.set_file_version("brain.Event:2");
  AppendRecord(head, &bytes);
  for (const auto& [step, event] : by_step) AppendRecord(event, &bytes);
  return out.Write(absl::StrCat(PathName(record.detail.run().name()), "/events.out.tfevents.",
                                start / 1'000'000, ".qsweep"),
                   bytes);
}

}  // namespace qsweep
