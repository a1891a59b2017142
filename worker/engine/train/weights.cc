#include "worker/engine/train/weights.h"

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "common/spec/models.h"
#include "common/spec/spec.h"
#include "common/status.h"

namespace qsweep::engine {
namespace {

constexpr char kFile[] = "model.safetensors";

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
std::string HuggingFaceHub() {
  if (const std::string hub = Environment("HF_HUB_CACHE"); !hub.empty()) return hub;
  std::string home = Environment("HF_HOME");
  if (home.empty()) home = JoinPath(Environment("HOME"), ".cache/huggingface");
  return JoinPath(home, "hub");
}

// Of the snapshot that refs/main names, or else the first that holds the file; empty if none does.
std::string FileOfSnapshot(const std::string& repository) {
  const std::string snapshots = JoinPath(repository, "snapshots");
  std::vector<std::string> revisions =
      ListDirectory(snapshots).value_or(std::vector<std::string>());
  const auto main = ReadFile(JoinPath(repository, "refs/main"), 4096);
  if (main.ok()) {
    revisions.insert(revisions.begin(), std::string(absl::StripAsciiWhitespace(*main)));
  }
  for (const std::string& revision : revisions) {
    const std::string file = JoinPath(JoinPath(snapshots, revision), kFile);
    if (PathExists(file)) return file;
  }
  return "";
}

std::string FindInHub(const std::string& hub, const std::string& model) {
  const std::string repository = absl::StrCat("models--timm--", model);
  const auto entries = ListDirectory(hub);
  if (!entries.ok()) return "";
  for (const std::string& entry : *entries) {
    if (entry != repository && !absl::StartsWith(entry, repository + ".")) continue;
    const std::string file = FileOfSnapshot(JoinPath(hub, entry));
    if (!file.empty()) return file;
  }
  return "";
}

absl::StatusOr<std::string> FindByName(const std::string& name, const std::string& model_root) {
  const std::string in_root = JoinPath(JoinPath(model_root, name), kFile);
  if (PathExists(in_root)) return in_root;
  const std::string hub = HuggingFaceHub();
  const std::string in_hub = FindInHub(hub, name);
  if (!in_hub.empty()) return in_hub;
  return absl::NotFoundError(absl::StrCat(
      "no weights of ", name, ": looked for ", in_root, " and for models--timm--", name, "* in ",
      hub, "; put the model's safetensors file of https://huggingface.co/timm there, name one as ",
      "model.weights, or set model.pretrained: false"));
}

}  // namespace

absl::StatusOr<std::string> FindWeights(const v1::Model& model, const std::string& model_root,
                                        const std::string& given) {
  if (!given.empty()) {
    if (!PathExists(given))
      return absl::NotFoundError(absl::StrCat(given, ": no such weights file"));
    return given;
  }
  if (!model.pretrained()) return "";
  if (ProducerOf(model)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model.weights is ", model.weights(),
        ", what another run produced: give that run's model.safetensors as --weights"));
  }
  if (model.weights().empty()) return FindByName(model.name(), model_root);
  if (!PathExists(model.weights())) {
    // Another machine may have it. If none does, the run fails with this after its last try.
    return absl::NotFoundError(absl::StrCat("model.weights: ", model.weights(),
                                            ": no such file on this machine; a file that the spec ",
                                            "names must lie at that path on every worker"));
  }
  return model.weights();
}

std::vector<std::string> ModelsPresent(const std::string& model_root) {
  std::vector<std::string> present;
  for (const ModelShape& model : KnownModels()) {
    if (FindByName(model.name, model_root).ok()) present.push_back(model.name);
  }
  return present;
}

}  // namespace qsweep::engine
