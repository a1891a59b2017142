#include "analysis/figures/figures.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace qsweep {
namespace {

// Model, dataset, adapter and what else tells a family from others.
std::vector<std::string> TitleParts(const Group& group, const std::string& differs) {
  const v1::GroupSummary& summary = group.summary;
  return {summary.model(), summary.dataset(),
          summary.rank() > 0 ? absl::StrCat("r = ", summary.rank()) : summary.method(),
          WithoutSections(differs), group.spec.quantization().compute_dtype()};
}

// Without the parts that all families share; of one alone all but the last, the compute dtype.
std::vector<std::string> FamilyTitles(const std::vector<std::vector<std::string>>& all) {
  std::vector<std::string> titles;
  for (const std::vector<std::string>& parts : all) {
    std::vector<std::string> shown;
    for (size_t k = 0; k < parts.size(); ++k) {
      const bool shared = std::all_of(all.begin(), all.end(),
                                      [&](const auto& other) { return other[k] == parts[k]; });
      const bool told = !shared || (all.size() == 1 && k + 1 < parts.size());
      if (told && !parts[k].empty()) shown.push_back(parts[k]);
    }
    titles.push_back(absl::StrJoin(shown, " · "));
  }
  return titles;
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
  std::vector<std::vector<std::string>> parts;
  for (size_t i = 0; i < families.size(); ++i) {
    parts.push_back(TitleParts(*families[i].groups[0], differs[i]));
  }
  const std::vector<std::string> titles = FamilyTitles(parts);
  for (size_t i = 0; i < families.size(); ++i) {
    families[i].title = titles[i];
    families[i].names = NamesOf(families[i].groups);
  }
  return families;
}

std::string PanelTitle(const std::string& title) {
  constexpr size_t kRoom = 44;  // characters
  return absl::StrCat("set title ", GnuplotText(Wrapped(title, kRoom)), "\n");
}

std::string WithInterval(const v1::Statistic& s, double least) {
  const auto percent = [least](double share) {
    return DataNumber(100 * std::clamp(share, least, 1.0));
  };
  const bool interval = s.has_ci_low();
  return absl::StrCat(percent(s.mean()), " ", percent(interval ? s.ci_low() : s.mean()), " ",
                      percent(interval ? s.ci_high() : s.mean()));
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
