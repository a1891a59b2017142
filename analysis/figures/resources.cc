// Figures about memory, speed and layers.
#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
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

// blocks.3.attn.qkv is block 3 and attn.qkv; others have no block.
struct LayerPlace {
  int block = -1;
  std::string part;
};
LayerPlace PlaceOf(absl::string_view layer) {
  LayerPlace place{-1, std::string(layer)};
  absl::string_view rest = layer;
  if (!absl::ConsumePrefix(&rest, "blocks.")) return place;
  const size_t dot = rest.find('.');
  if (!absl::SimpleAtoi(rest.substr(0, dot), &place.block)) return {-1, std::string(layer)};
  place.part = dot == absl::string_view::npos ? "" : std::string(rest.substr(dot + 1));
  return place;
}

// A matrix of values with named rows over the blocks; cells that nothing is known of stay white.
struct HeatMap {
  std::vector<std::string> rows;
  std::map<std::pair<size_t, int>, double> cells;
  int blocks = 0;

  void Add(const std::string& row, int block, double value) {
    const auto it = std::find(rows.begin(), rows.end(), row);
    const size_t y = static_cast<size_t>(it - rows.begin());
    if (it == rows.end()) rows.push_back(row);
    cells[{y, block}] = value;
    blocks = std::max(blocks, block + 1);
  }
  std::string Data(const std::string& name) const {
    std::string text = absl::StrCat(name, " << EOD\n");
    for (const auto& [at, value] : cells) {
      absl::StrAppend(&text, at.second, " ", at.first, " ", DataNumber(value), "\n");
    }
    return text + "EOD\n";
  }
  // viridis, as in matplotlib.
  std::string Panel(const std::string& name, const std::string& title,
                    const std::string& unit) const {
    Extent values;
    for (const auto& [at, value] : cells) values.Add(value);
    std::vector<std::string> tics;
    for (size_t i = 0; i < rows.size(); ++i)
      tics.push_back(absl::StrCat(GnuplotText(rows[i]), " ", i));
    return absl::StrCat(
        "set title ", GnuplotText(absl::StrCat(title, ", ", unit)),
        "\nset xlabel 'block'\nunset ylabel\n", values.Tics("cb"),
        "set autoscale\nset xrange [-0.5:", blocks - 1, ".5]\nset yrange [", rows.size() - 1,
        ".5:-0.5]\nset xtics 2\nset ytics (", absl::StrJoin(tics, ", "),
        ")\nunset key\n"
        "unset grid\nset border 15\nset palette defined (0 '#440154', 0.25 "
        "'#3b528b', 0.5 '#21918c', 0.75 '#5ec962', 1 '#fde725')\n"
        "plot ",
        // Not `with image`, which draws nothing where there is one row.
        name, " using 1:2:(0.5):(0.5):3 with boxxyerror fs solid noborder lc palette z\n");
  }
};

// Some, told apart by their titles.
class HeatMaps {
 public:
  HeatMap& At(const std::string& title) {
    const auto it =
        std::find_if(maps_.begin(), maps_.end(), [&](const auto& m) { return m.first == title; });
    return it != maps_.end() ? it->second : maps_.emplace_back(title, HeatMap()).second;
  }
  void DrawIn(Figure* figure, const std::string& unit, const std::string& caption) const {
    const size_t shown = std::min(maps_.size(), kMaxPanels);
    for (size_t i = 0; i < shown; ++i) {
      const std::string block =
          absl::StrCat("$", absl::StrReplaceAll(figure->name, {{"-", "_"}}), i);
      absl::StrAppend(&figure->data, maps_[i].second.Data(block));
      figure->panels.push_back(maps_[i].second.Panel(block, maps_[i].first, unit));
    }
    figure->caption = absl::StrCat(caption, LeftOut(shown, maps_.size()));
  }

 private:
  std::vector<std::pair<std::string, HeatMap>> maps_;
};

// One for each model and quantization, of the layers that have the value.
HeatMaps MapsOfLayers(const Analysis& analysis,
                      std::optional<double> (*value)(const v1::LayerSensitivity&)) {
  HeatMaps maps;
  for (const v1::LayerSensitivity& layer : analysis.details.layers()) {
    const LayerPlace place = PlaceOf(layer.layer());
    const std::optional<double> found = value(layer);
    if (place.block < 0 || !found.has_value()) continue;
    maps.At(absl::StrCat(layer.model(), " · ", layer.quantization()))
        .Add(place.part, place.block, *found);
  }
  return maps;
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
        "set title ", GnuplotText(family.title), "\nset autoscale\nset yrange [0:*]\n",
        NameTics(family.names), kNamed, "set style data histograms\nset boxwidth 0.8\n");
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
      "training, the highest "
      "of each (one run of each configuration); dots: the highest sum at any one time, which the "
      "accounts' own peaks "
      "may exceed together.",
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
        "set title ", GnuplotText(families[f].title), "\nset autoscale\nset yrange [0:*]\n",
        rates.Tics("y"), NameTics(families[f].names),
        "set xrange [-0.6:", families[f].groups.size() - 1, ".6]\n", kNamed,
        "set ylabel 'images/s'\nset boxwidth 0.6\nunset key\nplot ", block,
        " using 0:2:5:xtic(1) with boxes lc rgb variable, ", block,
        " using 0:3:(0):($4-$3) with vectors nohead lw 0.8 lc rgb '#404040'\n"));
  }
  figure.caption = absl::StrCat(
      "Training images a second (median over steps), means over seeds; bars: lowest and highest "
      "run. It depends on what "
      "else the machines were doing.",
      LeftOut(shown, families.size()));
  return figure;
}

Figure LayerErrorFigure(const Analysis& analysis) {
  Figure figure{
      .name = "layers", .title = "Quantization error of each layer", .panel_height_in = 1.7};
  const HeatMaps maps = MapsOfLayers(
      analysis, [](const v1::LayerSensitivity& layer) { return std::optional(layer.sqnr_db()); });
  maps.DrawIn(&figure, "SQNR (dB)",
              "Signal-to-quantization-noise ratio of each quantized weight matrix: darker layers "
              "lose more.");
  return figure;
}

Figure SensitivityFigure(const Analysis& analysis) {
  Figure figure{
      .name = "sensitivity", .title = "What quantizing one layer costs", .panel_height_in = 1.7};
  const HeatMaps maps = MapsOfLayers(analysis, [](const v1::LayerSensitivity& layer) {
    return layer.has_loss_change() ? std::optional(layer.loss_change()) : std::nullopt;
  });
  maps.DrawIn(&figure, "change of loss",
              "Change of the evaluation loss when this layer alone is quantized and all others are "
              "not (runs of method sensitivity): brighter layers cost more.");
  return figure;
}

Figure BlockGradientFigure(const Analysis& analysis) {
  Figure figure{
      .name = "block-gradients", .title = "Gradient of each block", .panel_height_in = 1.7};
  HeatMaps maps;
  for (const v1::BlockGradient& gradient : analysis.details.gradients()) {
    const LayerPlace place = PlaceOf(gradient.layer());
    if (place.block < 0) continue;
    maps.At(absl::StrCat(gradient.model(), " · ", gradient.dataset()))
        .Add(gradient.quantization(), place.block, gradient.norm().mean());
  }
  maps.DrawIn(&figure, "gradient norm",
              "L2 norm of the gradient of each block's trained parameters, mean over training and "
              "runs: how strongly the loss responds to that block's adapters.");
  return figure;
}

}  // namespace qsweep
