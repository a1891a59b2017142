#include "analysis/pareto.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/spec/datasets.h"
#include "common/spec/fields.h"

namespace qsweep {
namespace {

// Names beyond this say nothing more, and thousands of groups would take squares of memory.
constexpr int kDominatorsNamed = 3;

// Top-1 of guessing. Unset where nobody knows how many classes there are.
std::optional<double> Chance(const Group& group, const std::vector<RunFacts>& runs) {
  const v1::Dataset& dataset = group.spec.dataset();
  if (dataset.classes_size() > 0) return 1.0 / dataset.classes_size();
  if (const DatasetShape* known = FindDataset(dataset.name())) {
    return 1.0 / static_cast<double>(known->classes);
  }
  for (const size_t i : group.runs) {
    if (runs[i].classes > 0) return 1.0 / static_cast<double>(runs[i].classes);
  }
  return std::nullopt;
}

bool Dominates(const v1::ParetoPoint& a, const v1::ParetoPoint& b) {
  return a.bytes() <= b.bytes() && a.top1() >= b.top1() &&
         (a.bytes() < b.bytes() || a.top1() > b.top1());
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

void Judge(v1::ParetoFront* front) {
  std::vector<v1::ParetoPoint> points(front->points().begin(), front->points().end());
  std::stable_sort(points.begin(), points.end(), [](const auto& a, const auto& b) {
    return std::make_pair(a.bytes(), -a.top1()) < std::make_pair(b.bytes(), -b.top1());
  });
  for (size_t i = 0; i < points.size(); ++i) {
    for (size_t k = 0; k < points.size() && points[i].dominated_by_size() < kDominatorsNamed; ++k) {
      if (Dominates(points[k], points[i])) points[i].add_dominated_by(points[k].group());
    }
  }
  front->clear_points();
  for (v1::ParetoPoint& point : points) {
    front->set_reference_bytes(std::max(front->reference_bytes(), point.bytes()));
    *front->add_points() = std::move(point);
  }
  if (front->has_reference_top1()) front->set_hypervolume(Hypervolume(*front));
}

// "cifar10", "cifar10 [3, 4]", "imagefolder flowers [0, 1]".
std::string TaskText(const v1::ExperimentSpec& task) {
  std::string text = task.dataset().name();
  for (const char* path : {"dataset.path", "dataset.classes"}) {
    const SpecField& field = *FindSpecField(path);
    if (IsSet(task, field)) absl::StrAppend(&text, " ", ValueText(task, field));
  }
  return text;
}

// The front of a model and task, and of one way of computing.
class Fronts {
 public:
  v1::ParetoFront& At(const v1::ExperimentSpec& task, const std::string& computed) {
    const auto [it, added] =
        index_.try_emplace(absl::StrCat(computed, "\n", task.SerializeAsString()), fronts_.size());
    if (!added) return fronts_[it->second];
    v1::ParetoFront& front = fronts_.emplace_back();
    front.set_model(task.model().name());
    front.set_dataset(TaskText(task));
    front.set_computed(computed);
    return front;
  }
  std::vector<v1::ParetoFront>& fronts() { return fronts_; }

 private:
  std::vector<v1::ParetoFront> fronts_;
  std::map<std::string, size_t> index_;
};

}  // namespace

std::vector<v1::ParetoFront> ParetoFronts(const std::vector<RunFacts>& runs,
                                          const std::vector<Group>& groups, MemoryKind kind) {
  Fronts all;
  for (size_t i = 0; i < groups.size(); ++i) {
    const v1::GroupSummary& summary = groups[i].summary;
    if (summary.top1().n() == 0) continue;
    v1::ExperimentSpec task;
    task.mutable_model()->set_name(summary.model());
    *task.mutable_dataset() = Task(groups[i].spec.dataset());
    std::map<std::string, double> memory = {{"", summary.weights_bytes()}};
    if (kind == MemoryKind::kPeak) memory = Peaks(groups[i], runs);
    for (const auto& [computed, bytes] : memory) {
      v1::ParetoFront& front = all.At(task, computed);
      front.set_memory(kind == MemoryKind::kWeights ? "weights" : "peak");
      const std::optional<double> chance = Chance(groups[i], runs);
      if (chance.has_value()) front.set_reference_top1(*chance);
      v1::ParetoPoint& point = *front.add_points();
      point.set_group(summary.label());
      point.set_group_index(static_cast<int32_t>(i));
      point.set_bytes(bytes);
      point.set_top1(summary.top1().mean());
    }
  }
  for (v1::ParetoFront& front : all.fronts()) Judge(&front);
  return std::move(all.fronts());
}

}  // namespace qsweep
