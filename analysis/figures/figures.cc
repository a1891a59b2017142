#include "analysis/figures/figures.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace qsweep {
namespace {

// Model, dataset and adapter, which a figure must say for itself, and what else it is not alone
// with.
std::string FamilyTitle(const v1::GroupSummary& summary, const std::string& differs) {
  const std::string adapter =
      summary.rank() > 0 ? absl::StrCat("r = ", summary.rank()) : std::string(summary.method());
  return absl::StrCat(summary.model(), " · ", summary.dataset(), " · ", adapter,
                      differs.empty() ? "" : " · ", WithoutSections(differs));
}

std::vector<std::string> NamesOf(const std::vector<const Group*>& groups) {
  std::vector<v1::ExperimentSpec> scopes;
  for (const Group* group : groups) {
    *scopes.emplace_back().mutable_quantization() = group->spec.quantization();
  }
  return QuantizationNames(scopes);
}

}  // namespace

std::vector<Family> Families(const Analysis& analysis) {
  std::vector<Family> families;
  std::vector<v1::ExperimentSpec> specs;  // of one group each, but for the quantization
  absl::flat_hash_map<std::string, size_t> index;
  for (const Group& group : analysis.groups) {
    if (group.summary.top1().n() == 0) continue;
    const auto [it, added] = index.try_emplace(TwinKey(group.spec), families.size());
    if (added) {
      families.emplace_back();
      specs.push_back(group.spec);
      specs.back().clear_quantization();
    }
    families[it->second].groups.push_back(&group);
  }
  const std::vector<std::string> differs = Differences(specs);
  for (size_t i = 0; i < families.size(); ++i) {
    families[i].title = FamilyTitle(families[i].groups[0]->summary, differs[i]);
    families[i].names = NamesOf(families[i].groups);
  }
  return families;
}

Palette PaletteOf(const Analysis& analysis) {
  Palette palette;
  for (const Group& group : analysis.groups) (void)palette.ColorOf(group.summary.quantization());
  return palette;
}

std::string LeftOut(size_t shown, size_t all) {
  if (shown >= all) return "";
  return absl::StrCat(" The first ", shown, " of ", all, " are shown.");
}

std::string CurvesLeftOut(const std::vector<Family>& families) {
  size_t left_out = 0;
  for (const Family& family : families) {
    left_out += family.groups.size() - std::min(family.groups.size(), kMaxCurves);
  }
  if (left_out == 0) return "";
  return absl::StrCat(" A panel shows the first ", kMaxCurves, " curves; ", left_out,
                      " are left out.");
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
