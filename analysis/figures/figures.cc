#include "analysis/figures/figures.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace qsweep {
namespace {

// Model, dataset and adapter, which a figure must say for itself.
std::string FamilyTitle(const v1::GroupSummary& summary) {
  return absl::StrCat(summary.model(), " · ", summary.dataset(),
                      summary.rank() > 0 ? absl::StrCat(" · r = ", summary.rank())
                                         : absl::StrCat(" · ", summary.method()));
}

}  // namespace

std::vector<Family> Families(const Analysis& analysis) {
  std::vector<Family> families;
  absl::flat_hash_map<std::string, size_t> index;
  for (const Group& group : analysis.groups) {
    if (group.summary.top1().n() == 0) continue;
    const auto [it, added] = index.try_emplace(TwinKey(group.spec), families.size());
    if (added) families.push_back({FamilyTitle(group.summary), {}});
    families[it->second].groups.push_back(&group);
  }
  return families;
}

std::string KeyOf(const Family& family, const Group& group) {
  const auto same = std::count_if(family.groups.begin(), family.groups.end(), [&](const Group* g) {
    return g->summary.quantization() == group.summary.quantization();
  });
  return same > 1 ? WithoutSection(group.summary.label()) : group.summary.quantization();
}

Palette PaletteOf(const Analysis& analysis) {
  Palette palette;
  for (const Group& group : analysis.groups) (void)palette.ColorOf(group.summary.quantization());
  return palette;
}

std::string WithoutSection(const std::string& text) {
  return absl::StrReplaceAll(text, {{"quantization.", ""}});
}

std::string LeftOut(size_t shown, size_t all) {
  if (shown >= all) return "";
  return absl::StrCat(" The first ", shown, " of ", all, " are shown.");
}

std::vector<Figure> MakeFigures(const Analysis& analysis) {
  std::vector<Figure> figures;
  for (Figure (*make)(const Analysis&) :
       {ParetoFigure, DifferenceFigure, ConvergenceFigure, MemoryFigure, ThroughputFigure,
        GradientFigure, BlockGradientFigure, LayerErrorFigure, SensitivityFigure,
        LiteratureComparison}) {
    Figure figure = make(analysis);
    if (!figure.panels.empty()) figures.push_back(std::move(figure));
  }
  return figures;
}

}  // namespace qsweep
