#include "analysis/figures/figure.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "common/utf8.h"

namespace qsweep {
namespace {

constexpr double kPageWidth = 6.9, kColumnWidth = 3.35;  // inches, of a two-column paper
// Of a figure, in inches, that a page of a paper has room for with a caption.
constexpr double kPageHeight = 8.2;
constexpr absl::Duration kPatience = absl::Minutes(2);

// What all figures share.
constexpr char kStyle[] =
    "set encoding utf8\n"
    "set minussign\n"
    "set border 3 lw 0.6 lc rgb '#404040'\n"
    "set tics nomirror out scale 0.5\n"
    "set grid ytics lw 0.4 lc rgb '#dddddd'\n"
    "set tics font ',7'\n"
    "set key tmargin center horizontal reverse Left samplen 1.2 font ',7'\n"
    "set title offset 0,-0.5 font ',8'\n"
    "set xlabel offset 0,0.5\n"
    "set ylabel offset 1,0\n"
    "set style fill solid 0.9 noborder\n"
    "set pointintervalbox 0\n"
    "set bars 0.4\n";

// SVG counts 72 units and PNG 300 dots an inch (cairo takes 96 for one point's scale), so that type
// has the same size in all.
std::string Terminal(absl::string_view extension, double width, double height) {
  if (extension == "pdf") {
    return absl::StrFormat("pdfcairo noenhanced rounded size %.2fin,%.2fin font 'Sans,8'", width,
                           height);
  }
  if (extension == "svg") {
    return absl::StrFormat(
        "svg noenhanced rounded size %.0f,%.0f font 'Helvetica,8' background 'white'", 72 * width,
        72 * height);
  }
  return absl::StrFormat(
      "pngcairo noenhanced rounded size %.0f,%.0f font 'Sans,8' fontscale 3.125 linewidth 3 "
      "pointscale 3",
      300 * width, 300 * height);
}

std::string Draw(const Figure& figure, absl::string_view suffix, double width, int columns) {
  const int panels = static_cast<int>(figure.panels.size());
  columns = std::min(columns, panels);
  const int rows = (panels + columns - 1) / columns;
  double height = rows * figure.panel_height_in;
  if (width == kPageWidth) height = std::min(height, kPageHeight);
  // For panels that look otherwise where there is less room.
  std::string script = absl::StrFormat("width = %.2f\n", width);
  for (const char* extension : {"pdf", "svg", "png"}) {
    absl::StrAppend(&script, "set terminal ", Terminal(extension, width, height), "\nset output '",
                    figure.name, suffix, ".", extension, "'\n", "set multiplot layout ", rows, ",",
                    columns, "\n");
    for (const std::string& panel : figure.panels) script.append(panel);
    absl::StrAppend(&script, "unset multiplot\nunset output\n");
  }
  return script;
}

std::string Shortened(absl::string_view text, size_t bytes) {
  if (text.size() <= bytes) return std::string(text);
  return absl::StrCat(Beginning(text, bytes / 2 - 1), "…", Ending(text, bytes / 2 - 2));
}

std::string ScriptOf(const Figure& figure) {
  return absl::StrCat("# ", absl::StrReplaceAll(figure.caption, {{"\n", " "}}), "\n", kStyle,
                      figure.data, Draw(figure, "", kPageWidth, figure.columns),
                      Draw(figure, "-single", kColumnWidth, 1));
}

}  // namespace

std::string GnuplotText(absl::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\n') {
      out.append("'.\"\\n\".'");
      continue;
    }
    if (c == '\'') out.push_back('\'');
    out.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
  }
  return out + "'";
}

std::string DataText(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\n') {
      out.append("\\n");
    } else {
      out.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c == '"' ? '\'' : c);
    }
  }
  return out + "\"";
}

std::string Wrapped(absl::string_view text, size_t width) {
  std::string lines, line;
  while (!text.empty()) {
    size_t end = text.size();
    for (const absl::string_view separator : {", ", ": ", " · "}) {
      const size_t at = text.find(separator);
      if (at != absl::string_view::npos) end = std::min(end, at + separator.size());
    }
    const std::string piece =
        Shortened(absl::StripTrailingAsciiWhitespace(text.substr(0, end)), width);
    text.remove_prefix(end);
    if (!line.empty() && line.size() + 1 + piece.size() > width) {
      absl::StrAppend(&lines, line, "\n");
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : " ", piece);
  }
  return lines + line;
}

std::string DataNumber(double value) {
  return std::isfinite(value) ? absl::StrFormat("%.9g", value) : "NaN";
}

void Extent::Add(double value) {
  if (!std::isfinite(value)) return;
  low_ = any_ ? std::min(low_, value) : value;
  high_ = any_ ? std::max(high_, value) : value;
  any_ = true;
}

double Extent::Step() const {
  const double range = high_ - low_;
  if (!(range > 0)) return 0;
  double step = std::pow(10, std::floor(std::log10(range / 5)));
  for (const double factor : {2.0, 2.5, 2.0}) {  // 1, 2, 5, 10
    if (range / step <= 5) break;
    step *= factor;
  }
  return step;
}

std::string Extent::Tics(absl::string_view axis, double least_step) const {
  const double step = std::max(Step(), least_step);
  if (!(step > 0)) return absl::StrCat("set ", axis, "tics autofreq\n");
  return absl::StrFormat("set %stics %.9g\n", axis, step);
}

const Palette::Look& Palette::LookOf(const std::string& label) {
  // The last two of Okabe and Ito's that are seen on white, then Tol's muted ones; open points.
  static constexpr const char* kColors[] = {"#CC79A7", "#56B4E9", "#882255", "#999933",
                                            "#332288", "#44AA99", "#8C6D46"};
  static constexpr int kPoints[] = {15, 6, 4, 8, 10, 12, 14};
  constexpr size_t kCount = std::size(kColors);
  const auto [it, added] = looks_.try_emplace(label);
  if (added) {
    // After all colours each comes again with another point.
    it->second = {kColors[others_ % kCount], kPoints[(others_ + others_ / kCount) % kCount]};
    ++others_;
  }
  return it->second;
}

std::string Palette::StyleOf(const std::string& label) {
  const Look& look = LookOf(label);
  return absl::StrCat("lc rgb '", look.color, "' pt ", look.point);
}

absl::StatusOr<std::string> FindGnuplot() {
  const char* path = std::getenv("PATH");
  for (const absl::string_view directory : absl::StrSplit(path == nullptr ? "" : path, ':')) {
    const std::string program = JoinPath(directory.empty() ? "." : directory, "gnuplot");
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return absl::FailedPreconditionError(
      "the figures are drawn by gnuplot, which is not installed; install Debian's gnuplot-nox, or "
      "leave figures out with --no-figures");
}

absl::Status RenderFigure(const std::string& gnuplot, const Figure& figure, OutputDirectory& out) {
  const std::string name = absl::StrCat("figures/", figure.name);
  RETURN_IF_ERROR(out.Write(absl::StrCat(name, ".gp"), ScriptOf(figure)));
  ASSIGN_OR_RETURN(const std::string script, out.Place(absl::StrCat(name, ".gp")));
  const size_t slash = script.rfind('/');
  const auto drawn =
      RunForOutput({gnuplot, script.substr(slash + 1)}, kPatience, script.substr(0, slash));
  RETURN_IF_ERROR(Annotate(drawn.status(), name));
  for (const char* suffix : {"", "-single"}) {
    for (const char* extension : {"pdf", "svg", "png"}) {
      RETURN_IF_ERROR(out.Placed(absl::StrCat(name, suffix, ".", extension)));
    }
  }
  return absl::OkStatus();
}

}  // namespace qsweep
