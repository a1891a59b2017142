// A table of text: columns as wide as their widest cell, two spaces apart.
#ifndef QSWEEP_QCTL_TABLE_H_
#define QSWEEP_QCTL_TABLE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "qctl/terminal.h"

namespace qsweep::qctl {

struct Cell {
  Cell(std::string text, Ink ink = Ink::kPlain) : text(std::move(text)), ink(ink) {}  // NOLINT
  Cell(const char* text) : text(text) {}                                              // NOLINT
  std::string text;
  Ink ink = Ink::kPlain;
};

class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // As many cells as columns. Cells are made printable here.
  void AddRow(std::vector<Cell> cells);
  // Titles, if there are any, then the rows, each line ended and indented. Columns without any text
  // are left out, no line ends in spaces. To fit `width` the first column, of names, loses its
  // middle, and the last one its end.
  std::string Render(const Style& style, size_t width, size_t indent = 0) const;
  bool empty() const { return rows_.empty(); }

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_TABLE_H_
