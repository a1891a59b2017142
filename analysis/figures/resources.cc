// Figures about memory and speed.
#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "analysis/figures/figures.h"

namespace qsweep {
namespace {

constexpr char kNamed[] = "set xlabel ''\n";

struct AccountLine {
  const char* title;
  const char* color;
  int64_t (v1::MemoryAccount::*bytes)() const;
};

constexpr AccountLine kAccounts[] = {
    {"weights", "#0072B2", &v1::MemoryAccount::weights_bytes},
    {"scales", "#56B4E9", &v1::MemoryAccount::scales_bytes},
    {"adapter", "#009E73", &v1::MemoryAccount::adapter_bytes},
    {"gradients", "#F0E442", &v1::MemoryAccount::gradient_bytes},
    {"optimizer", "#E69F00", &v1::MemoryAccount::optimizer_bytes},
    {"activations", "#D55E00", &v1::MemoryAccount::activation_bytes},
    {"workspace", "#CC79A7", &v1::MemoryAccount::workspace_bytes},
    {"data", "#999999", &v1::MemoryAccount::data_bytes},
};

// Names of bars, slanted where they would not find room beside each other.
std::string NameTics(const std::vector<std::string>& names) {
  constexpr size_t kRoom = 55;  // characters
  const bool slanted = absl::StrJoin(names, " ").size() > kRoom;
  return slanted ? "set xtics rotate by -30 left\n" : "set xtics norotate center\n";
}

const v1::RunResult* FirstResult(const Analysis& analysis, const Group& group) {
  for (const size_t i : group.runs) {
    if (analysis.runs[i].result.has_value()) return &*analysis.runs[i].result;
  }
  return nullptr;
}

}  // namespace

Figure MemoryFigure(const Analysis& analysis) {
  Figure figure{.name = "memory", .title = "Where the memory is", .panel_height_in = 2.5};
  const std::vector<Family> families = Families(analysis);
  const size_t shown = std::min(families.size(), kMaxPanels / 2);
  for (size_t f = 0; f < shown; ++f) {
    const Family& family = families[f];
    std::string weights, accounts;
    Extent model, peak;
    for (Extent* extent : {&model, &peak}) extent->Add(0);
    for (size_t g = 0; g < family.groups.size(); ++g) {
      const Group* group = family.groups[g];
      const v1::RunResult* result = FirstResult(analysis, *group);
      if (result == nullptr) continue;
      const std::string label = DataText(family.names[g]);
      model.Add(static_cast<double>(result->quantization().bytes_before()) / 1e6);
      peak.Add(group->summary.peak_bytes() / 1e6);
      absl::StrAppend(&weights, label, " ", DataNumber(result->quantization().bytes_before() / 1e6),
                      " ", DataNumber(group->summary.weights_bytes() / 1e6), "\n");
      absl::StrAppend(&accounts, label);
      for (const AccountLine& account : kAccounts) {
        absl::StrAppend(&accounts, " ",
                        DataNumber(static_cast<double>((result->memory().*account.bytes)()) / 1e6));
      }
      absl::StrAppend(&accounts, " ", DataNumber(group->summary.peak_bytes() / 1e6), "\n");
    }
    const std::string a = absl::StrCat("$weights", f), b = absl::StrCat("$accounts", f);
    absl::StrAppend(&figure.data, a, " << EOD\n", weights, "EOD\n", b, " << EOD\n", accounts,
                    "EOD\n");
    const std::string common = absl::StrCat(
        PanelTitle(family.title), "set autoscale\nset yrange [0:*]\n", NameTics(family.names),
        kNamed, "set style data histograms\nset boxwidth 0.8\n");
    figure.panels.push_back(
        absl::StrCat(common, model.Tics("y"),
                     "set ylabel 'model (MB)'\nset style histogram clustered gap 1\nplot ", a,
                     " using 2:xtic(1) lc rgb '#bbbbbb' title 'in fp32', ", a,
                     " using 3 lc rgb '#0072B2' title 'as held'\n"));
    std::vector<std::string> plots;
    for (size_t k = 0; k < std::size(kAccounts); ++k) {
      plots.push_back(absl::StrCat(b, " using ", k + 2, k == 0 ? ":xtic(1)" : "", " lc rgb '",
                                   kAccounts[k].color, "' title '", kAccounts[k].title, "'"));
    }
    plots.push_back(
        absl::StrCat(b, " using 0:", std::size(kAccounts) + 2,
                     " with points pt 7 ps 0.5 lc rgb 'black' title 'peak of the sum'"));
    figure.panels.push_back(absl::StrCat(
        common, peak.Tics("y"), "set ylabel 'memory (MB)'\nset style histogram rowstacked\n",
        "set boxwidth 0.6\nplot ", absl::StrJoin(plots, ", "), "\n"));
  }
  figure.caption = absl::StrCat(
      "Left: the model's weights in fp32 and as held for training. Right: bytes by account while "
      "training, the highest of each (one run of each configuration); dots: the highest sum at any "
      "one time, which the accounts' own peaks may exceed together.",
      LeftOut(shown, families.size()));
  return figure;
}

Figure ThroughputFigure(const Analysis& analysis) {
  Figure figure{.name = "throughput", .title = "Training speed"};
  Palette palette = PaletteOf(analysis);
  const std::vector<Family> families = Families(analysis);
  const size_t shown = std::min(families.size(), kMaxPanels);
  for (size_t f = 0; f < shown; ++f) {
    std::string rows;
    Extent rates;
    rates.Add(0);
    for (size_t g = 0; g < families[f].groups.size(); ++g) {
      const Group* group = families[f].groups[g];
      const std::string& key = families[f].names[g];
      double least = 0, greatest = 0;
      bool first = true;
      for (const size_t i : group->runs) {
        if (!analysis.runs[i].result.has_value()) continue;
        const double rate = analysis.runs[i].result->images_per_s();
        least = first ? rate : std::min(least, rate);
        greatest = first ? rate : std::max(greatest, rate);
        first = false;
        rates.Add(rate);
      }
      // Under a bar is no room for more; its colour is that of the group's curves.
      absl::StrAppend(&rows, DataText(key), " ", DataNumber(group->summary.images_per_s()), " ",
                      DataNumber(least), " ", DataNumber(greatest), " 0x",
                      palette.ColorOf(key).substr(1), "\n");
    }
    const std::string block = absl::StrCat("$throughput", f);
    absl::StrAppend(&figure.data, block, " << EOD\n", rows, "EOD\n");
    figure.panels.push_back(absl::StrCat(
        PanelTitle(families[f].title), "set autoscale\nset yrange [0:*]\n", rates.Tics("y"),
        NameTics(families[f].names), "set xrange [-0.6:", families[f].groups.size() - 1, ".6]\n",
        kNamed, "set ylabel 'images/s'\nset boxwidth 0.6\nunset key\nplot ", block,
        " using 0:2:5:xtic(1) with boxes lc rgb variable, ", block,
        " using 0:3:(0):($4-$3) with vectors nohead lw 0.8 lc rgb '#404040'\n"));
  }
  figure.caption = absl::StrCat(
      "Training images a second (median over steps), means over seeds; bars: lowest and highest "
      "run. It depends on what else the machines were doing.",
      LeftOut(shown, families.size()));
  return figure;
}

}  // namespace qsweep
