#include "qctl/table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

constexpr size_t kGap = 2;
constexpr size_t kLeastName = 20, kLeastLastColumn = 12;

}  // namespace

void Table::AddRow(std::vector<Cell> cells) {
  QSWEEP_CHECK(cells.size() == columns_.size());
  for (Cell& cell : cells) cell.text = Printable(cell.text);
  rows_.push_back(std::move(cells));
}

std::string Table::Render(const Style& style, size_t width, size_t indent) const {
  std::vector<size_t> shown, widths(columns_.size());
  for (size_t c = 0; c < columns_.size(); ++c) {
    for (const auto& row : rows_) widths[c] = std::max(widths[c], DisplayWidth(row[c].text));
    if (widths[c] == 0) continue;
    widths[c] = std::max(widths[c], DisplayWidth(columns_[c].title));
    shown.push_back(c);
  }
  if (shown.empty()) return "";
  const size_t last = shown.back();
  size_t names = last, all = indent + std::min(widths[last], kLeastLastColumn);
  for (const size_t c : shown) {
    if (c == last) break;
    all += widths[c] + kGap;
    if (names == last && columns_[c].align == Align::kLeft) names = c;
  }
  if (names != last && all > width && widths[names] > kLeastName) {
    widths[names] -= std::min(all - width, widths[names] - kLeastName);
  }
  std::string out;
  const auto add_line = [&](const auto& cell_of) {
    std::string line(indent, ' '), spaces;
    size_t used = indent;
    for (const size_t c : shown) {
      Cell cell = cell_of(c);
      if (c == last) {
        const size_t room = width > used ? width - used : 0;
        cell.text = Cut(cell.text, std::max(room, kLeastLastColumn), style.Ellipsis());
      } else if (c == names) {
        cell.text = Fit(cell.text, widths[c], style.Ellipsis());
      }
      const size_t text_width = DisplayWidth(cell.text);
      const std::string padding(widths[c] - std::min(widths[c], text_width), ' ');
      const bool right = columns_[c].align == Align::kRight;
      absl::StrAppend(&spaces, right ? padding : "");
      if (text_width > 0)
        absl::StrAppend(&line, std::exchange(spaces, ""), style.Paint(cell.ink, cell.text));
      absl::StrAppend(&spaces, right ? "" : padding, std::string(kGap, ' '));
      used += widths[c] + kGap;
    }
    absl::StrAppend(&out, line, "\n");
  };
  const bool titled = std::any_of(shown.begin(), shown.end(),
                                  [this](size_t c) { return !columns_[c].title.empty(); });
  if (titled) add_line([&](size_t c) { return Cell(columns_[c].title, Ink::kDim); });
  for (const auto& row : rows_) add_line([&](size_t c) { return row[c]; });
  return out;
}

}  // namespace qsweep::qctl
