#include "common/quant/scheme.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "common/status.h"

namespace qsweep {
namespace {

std::map<std::string, Scheme>& Registry() {
  static auto& registry = *new std::map<std::string, Scheme>;
  return registry;
}

}  // namespace

float AbsMax(const float* weights, const float*, int64_t count) {
  float most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, std::fabs(weights[i]));
  return most;
}

float InverseScale(float scale) {
  const float inverse = 1.0f / scale;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

const Scheme* FindScheme(absl::string_view name) {
  const auto it = Registry().find(std::string(name));
  return it == Registry().end() ? nullptr : &it->second;
}

std::vector<std::string> SchemeNames() {
  std::vector<std::string> names;
  for (const auto& [name, scheme] : Registry()) names.push_back(name);
  return names;
}

RegisterScheme::RegisterScheme(Scheme scheme) {
  const std::string name = scheme.name;
  QSWEEP_CHECK(Registry().emplace(name, std::move(scheme)).second);
}

}  // namespace qsweep
