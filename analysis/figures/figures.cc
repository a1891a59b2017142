#include "analysis/figures/figures.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

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
