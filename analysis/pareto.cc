#include "analysis/pareto.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/spec/datasets.h"
#include "common/spec/fields.h"

namespace qsweep {
namespace {

// Names beyond this say nothing more, and thousands of groups would take squares of memory.
constexpr int kDominatorsNamed = 3;

double Chance(const v1::ExperimentSpec& spec) {
  if (spec.dataset().classes_size() > 0) return 1.0 / spec.dataset().classes_size();
  const DatasetShape* dataset = FindDataset(spec.dataset().name());
  return dataset == nullptr ? 0 : 1.0 / static_cast<double>(dataset->classes);
}

// Peaks differ between runs that need the same by what their threads did at once.
constexpr double kSamePeak = 0.01;

bool Dominates(const v1::ParetoPoint& a, const v1::ParetoPoint& b, double same) {
  const bool less = a.bytes() < (1 - same) * b.bytes();
  const bool no_more = a.bytes() <= (1 + same) * b.bytes();
  return no_more && a.top1() >= b.top1() && (less || a.top1() > b.top1());
}

// Points are sorted by bytes; the front's top-1 rises along it.
double Hypervolume(const v1::ParetoFront& front) {
  const double width = front.reference_bytes(), height = 1 - front.reference_top1();
  if (!(width > 0) || !(height > 0)) return 0;
  double area = 0, reached = front.reference_top1();
  for (const v1::ParetoPoint& point : front.points()) {
    if (point.dominated_by_size() > 0 || point.top1() <= reached) continue;
    area += (width - point.bytes()) * (point.top1() - reached);
    reached = point.top1();
  }
  return area / (width * height);
}

void Judge(double same, v1::ParetoFront* front) {
  std::vector<v1::ParetoPoint> points(front->points().begin(), front->points().end());
  std::stable_sort(points.begin(), points.end(), [](const auto& a, const auto& b) {
    return std::make_pair(a.bytes(), -a.top1()) < std::make_pair(b.bytes(), -b.top1());
  });
  for (size_t i = 0; i < points.size(); ++i) {
    for (size_t k = 0; k < points.size() && points[i].dominated_by_size() < kDominatorsNamed; ++k) {
      if (Dominates(points[k], points[i], same)) points[i].add_dominated_by(points[k].group());
    }
  }
  front->clear_points();
  for (v1::ParetoPoint& point : points) {
    front->set_reference_bytes(std::max(front->reference_bytes(), point.bytes()));
    *front->add_points() = std::move(point);
  }
  front->set_hypervolume(Hypervolume(*front));
}

}  // namespace

std::vector<v1::ParetoFront> ParetoFronts(const std::vector<Group>& groups, MemoryKind kind) {
  std::vector<v1::ParetoFront> fronts;
  std::map<std::string, size_t> index;  // by model and task
  for (const Group& group : groups) {
    const v1::GroupSummary& summary = group.summary;
    if (summary.top1().n() == 0) continue;
    v1::ExperimentSpec task;
    task.mutable_model()->set_name(summary.model());
    *task.mutable_dataset() = Task(group.spec.dataset());
    const auto [it, added] = index.try_emplace(task.SerializeAsString(), fronts.size());
    if (added) {
      const SpecField& classes = *FindSpecField("dataset.classes");
      v1::ParetoFront& front = fronts.emplace_back();
      front.set_model(summary.model());
      front.set_dataset(
          absl::StrCat(summary.dataset(), IsSet(task, classes) ? " " : "",
                       IsSet(task, classes) ? ValueText(task, classes) : task.dataset().path()));
      front.set_memory(kind == MemoryKind::kWeights ? "weights" : "peak");
      front.set_reference_top1(Chance(group.spec));
    }
    v1::ParetoPoint& point = *fronts[it->second].add_points();
    point.set_group(summary.label());
    point.set_bytes(kind == MemoryKind::kWeights ? summary.weights_bytes() : summary.peak_bytes());
    point.set_top1(summary.top1().mean());
  }
  for (v1::ParetoFront& front : fronts) Judge(kind == MemoryKind::kPeak ? kSamePeak : 0, &front);
  return fronts;
}

}  // namespace qsweep
