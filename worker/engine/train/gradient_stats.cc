#include "worker/engine/train/gradient_stats.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status.h"
#include "worker/engine/train/reporter.h"
#include "worker/engine/train/statistics.h"

namespace qsweep::engine {
namespace {

constexpr double kVanishing = 1e-7;
constexpr double kExploding = 10;
// Below it the loss is all but 0 and parts of the gradient underflow, which is no mistake.
constexpr double kLearns = 1e-10;
// Dropout may take all of a layer's input in one step, not in so many.
constexpr int64_t kStepsToLearn = 10;
// A block is summed in float lanes, blocks in double.
constexpr int64_t kBlock = 1024;

double SquaredNorm(const at::Tensor& tensor) {
  const float* data = tensor.data_ptr<float>();
  const int64_t n = tensor.numel();
  std::vector<double> blocks((n + kBlock - 1) / kBlock);
  at::parallel_for(0, static_cast<int64_t>(blocks.size()), 64, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      constexpr int kLanes = 16;
      float lanes[kLanes] = {};
      const int64_t last = std::min(n, (b + 1) * kBlock);
      int64_t i = b * kBlock;
      for (; i + kLanes <= last; i += kLanes) {
        for (int k = 0; k < kLanes; ++k) lanes[k] += data[i + k] * data[i + k];
      }
      for (int k = 0; i < last; ++i, ++k) lanes[k] += data[i] * data[i];
      for (float lane : lanes) blocks[b] += lane;
    }
  });
  double sum = 0;
  for (double block : blocks) sum += block;
  return sum;
}

// In this step or any before; the squares may underflow.
bool HadGradient(const AdamW::Slot& slot, double squared_norm) {
  return squared_norm != 0 || slot.gradient.any().item<bool>() ||
         slot.first_moment.any().item<bool>();
}

}  // namespace

std::vector<double> SquaredGradientNorms(const std::vector<AdamW::Slot>& slots) {
  std::vector<double> norms;
  norms.reserve(slots.size());
  if (!slots.empty() && !slots.front().gradient.is_cpu()) {
    std::vector<at::Tensor> sums;  // fetched all at once: each fetch waits for the device
    for (const AdamW::Slot& slot : slots) {
      sums.push_back(slot.gradient.to(at::kDouble).square().sum());
    }
    const at::Tensor fetched = at::stack(sums).cpu();
    norms.assign(fetched.data_ptr<double>(), fetched.data_ptr<double>() + fetched.numel());
    return norms;
  }
  for (const AdamW::Slot& slot : slots) norms.push_back(SquaredNorm(slot.gradient));
  return norms;
}

double GlobalNorm(const std::vector<double>& squared_norms) {
  double sum = 0;
  for (double squared : squared_norms) sum += squared;
  return std::sqrt(sum);
}

absl::Status CheckGradients(const std::vector<AdamW::Slot>& slots,
                            const std::vector<double>& squared_norms, int64_t step) {
  std::vector<std::string> not_finite;
  std::string first_zero;
  std::set<absl::string_view> adapters, learn_nothing;  // by the modules they are on
  const bool learns = GlobalNorm(squared_norms) > kLearns;
  std::map<absl::string_view, const AdamW::Slot*> by_name;
  for (const AdamW::Slot& slot : slots) by_name[slot.parameter.name] = &slot;
  for (size_t i = 0; i < slots.size(); ++i) {
    const std::string& name = slots[i].parameter.name;
    if (!std::isfinite(squared_norms[i])) not_finite.push_back(name);
    absl::string_view module = name;
    const bool is_a = absl::ConsumeSuffix(&module, ".lora_A.weight");
    if (!is_a && !absl::ConsumeSuffix(&module, ".lora_B.weight")) continue;
    adapters.insert(module);
    if (!learns || step < kStepsToLearn || HadGradient(slots[i], squared_norms[i])) continue;
    if (is_a) {
      const auto b = by_name.find(absl::StrCat(module, ".lora_B.weight"));
      if (b != by_name.end() && !b->second->parameter.value.any().item<bool>()) continue;
    }
    if (learn_nothing.empty()) first_zero = name;
    learn_nothing.insert(module);
  }
  if (!not_finite.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "step ", step, ": the gradient is not finite in ", not_finite.size(), " of ", slots.size(),
        " parameters, first ", not_finite.front(), "; lower training.learning_rate"));
  }
  if (!learn_nothing.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "step ", step, ": the gradient is exactly zero in ", learn_nothing.size(), " of ",
        adapters.size(), " adapters, first ", first_zero,
        ", so they learn nothing; lower training.learning_rate or check lora.target_modules"));
  }
  return absl::OkStatus();
}

GradientStats::GradientStats(const std::vector<AdamW::Slot>& slots, v1::GradientState* state)
    : state_(state) {
  std::map<std::string, int> index;
  for (int i = 0; i < state->groups_size(); ++i) index[state->groups(i).group()] = i;
  for (const AdamW::Slot& slot : slots) {
    const auto [it, added] = index.emplace(slot.parameter.group, state->groups_size());
    if (added) state->add_groups()->set_group(slot.parameter.group);
    group_of_slot_.push_back(it->second);
  }
}

void GradientStats::AddStep(const std::vector<double>& squared_norms) {
  QSWEEP_CHECK(squared_norms.size() == group_of_slot_.size());
  std::vector<double> groups(state_->groups_size());
  for (size_t i = 0; i < squared_norms.size(); ++i) groups[group_of_slot_[i]] += squared_norms[i];
  for (size_t g = 0; g < groups.size(); ++g) {
    Add(std::sqrt(groups[g]), state_->mutable_groups(static_cast<int>(g))->mutable_window());
  }
  const double norm = GlobalNorm(squared_norms);
  Add(norm, state_->mutable_window());
  if (norm > 0) Add(std::log(norm), state_->mutable_log_norm());
}

std::string GradientStats::EndWindow(v1::Metrics* metrics) {
  const v1::RunningStatistics window = state_->window();
  if (window.count() == 0) return "";
  for (v1::GroupNorm& group : *state_->mutable_groups()) {
    const std::string prefix = absl::StrCat("gradient_norm/", group.group(), "/");
    AddPoint(absl::StrCat(prefix, "mean"), group.window().mean(), metrics);
    AddPoint(absl::StrCat(prefix, "std"), StandardDeviation(group.window()), metrics);
    AddPoint(absl::StrCat(prefix, "min"), group.window().min(), metrics);
    AddPoint(absl::StrCat(prefix, "max"), group.window().max(), metrics);
    group.clear_window();
  }
  std::string flag;
  if (window.mean() < kVanishing) {
    flag = "vanishing";
    state_->set_vanishing_windows(state_->vanishing_windows() + 1);
  } else if (state_->run().count() > 0 && window.max() > kExploding * state_->run().mean()) {
    flag = "exploding";
    state_->set_exploding_windows(state_->exploding_windows() + 1);
  }
  Merge(window, state_->mutable_run());
  state_->clear_window();
  return flag;
}

v1::GradientSummary GradientStats::Summary() const {
  v1::GradientSummary summary;
  summary.set_norm_mean(state_->run().mean());
  summary.set_norm_std(StandardDeviation(state_->run()));
  summary.set_norm_min(state_->run().min());
  summary.set_norm_max(state_->run().max());
  summary.set_vanishing_windows(state_->vanishing_windows());
  summary.set_exploding_windows(state_->exploding_windows());
  summary.set_stability(std::exp(-StandardDeviation(state_->log_norm())));
  return summary;
}

}  // namespace qsweep::engine
