// Figures about layers and blocks.
#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "analysis/figures/figures.h"

namespace qsweep {
namespace {

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
        PanelTitle(absl::StrCat(title, title.empty() ? "" : " · ", unit)),
        "set xlabel 'block'\nunset ylabel\n", values.Tics("cb"),
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

// One for each model, dataset and quantization, of the layers that have the value.
HeatMaps MapsOfLayers(const Analysis& analysis,
                      std::optional<double> (*value)(const v1::LayerSensitivity&)) {
  HeatMaps maps;
  for (const v1::LayerSensitivity& layer : analysis.details.layers()) {
    const LayerPlace place = PlaceOf(layer.layer());
    const std::optional<double> found = value(layer);
    if (place.block < 0 || !found.has_value()) continue;
    maps.At(absl::StrCat(layer.model(), " · ", layer.dataset(), " · ", layer.quantization(),
                         layer.labels() == "model" ? " · by the model's own labels" : ""))
        .Add(place.part, place.block, *found);
  }
  return maps;
}

// The mean over the group's runs of each block's gradient.
std::map<int, double> BlockNorms(const Analysis& analysis, const Group& group) {
  std::map<int, std::pair<double, int>> sums;  // and how many
  for (const size_t i : group.runs) {
    for (const v1::LayerGradient& layer : analysis.runs[i].layers) {
      auto& [sum, count] = sums[PlaceOf(layer.layer()).block];
      sum += layer.mean_norm();
      ++count;
    }
  }
  std::map<int, double> norms;
  for (const auto& [block, sum] : sums) {
    if (block >= 0) norms[block] = sum.first / sum.second;
  }
  return norms;
}

}  // namespace

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

// By family and not by details.gradients, which sum up over adapters.
Figure BlockGradientFigure(const Analysis& analysis) {
  Figure figure{
      .name = "block-gradients", .title = "Gradient of each block", .panel_height_in = 1.7};
  HeatMaps maps;
  for (const Family& family : Families(analysis)) {
    for (size_t g = 0; g < family.groups.size(); ++g) {
      for (const auto& [block, norm] : BlockNorms(analysis, *family.groups[g])) {
        maps.At(family.title).Add(family.names[g], block, norm);
      }
    }
  }
  maps.DrawIn(&figure, "gradient norm",
              "L2 norm of the gradient of each block's trained parameters, mean over training and "
              "runs: how strongly the loss responds to that block's adapters.");
  return figure;
}

}  // namespace qsweep
