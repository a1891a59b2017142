#include "qctl/fetch/catalog.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/spec/models.h"
#include "common/status.h"
#include "common/wording.h"
#include "qctl/fetch/safetensors.h"

namespace qsweep::qctl {
namespace {

// timm's names of the repositories: NAME.TAG, the tag saying what the weights were trained on.
constexpr char kTag[] = ".fb_in1k";
// https://www.cs.toronto.edu/~kriz/cifar.html names the MD5 sums of its archives.
constexpr char kCifar[] = "https://www.cs.toronto.edu/~kriz/";
// https://github.com/zalandoresearch/fashion-mnist, likewise.
constexpr char kFashionMnist[] = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/";

std::string WithoutSlash(absl::string_view url) { return std::string(absl::StripSuffix(url, "/")); }

// scheme://host replaced.
std::string ThroughMirror(const std::string& url, const std::string& mirror) {
  if (mirror.empty()) return url;
  const size_t path = url.find('/', url.find("://") + 3);
  return absl::StrCat(WithoutSlash(mirror), url.substr(path));
}

absl::Status CheckUrl(const std::string& option, const std::string& url) {
  if (url.empty() || absl::StartsWith(url, "http://") || absl::StartsWith(url, "https://")) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(option, ": ", Quoted(url), " is no http:// or https:// address"));
}

CatalogFile Published(const char* home, const std::string& file, const std::string& path,
                      const char* md5, std::vector<std::string> members = {}) {
  return {absl::StrCat(home, file), path, {Checksum::Kind::kMd5, md5}, nullptr, std::move(members)};
}

CatalogFile OfFashionMnist(const std::string& file, const char* md5) {
  return Published(kFashionMnist, file, absl::StrCat("fashion-mnist/", file), md5);
}

const std::map<std::string, std::vector<CatalogFile>>& Datasets() {
  static const std::map<std::string, std::vector<CatalogFile>> datasets = {
      {"cifar10",
       {Published(kCifar, "cifar-10-binary.tar.gz", "cifar-10-batches-bin",
                  "c32a1d4ab5d03f1284b67883e8d87530",
                  {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                   "data_batch_5.bin", "test_batch.bin", "batches.meta.txt"})}},
      {"cifar100",
       {Published(kCifar, "cifar-100-binary.tar.gz", "cifar-100-binary",
                  "03b5dce01913d631647c71ecec9e9cb8",
                  {"train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt"})}},
      {"fashion_mnist",
       {OfFashionMnist("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        OfFashionMnist("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        OfFashionMnist("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        OfFashionMnist("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310")}},
  };
  return datasets;
}

}  // namespace

absl::StatusOr<std::vector<CatalogFile>> FilesOfModel(const std::string& name,
                                                      const std::string& endpoint,
                                                      const std::string& mirror) {
  RETURN_IF_ERROR(CheckUrl("HF_ENDPOINT", endpoint));
  RETURN_IF_ERROR(CheckUrl("--mirror", mirror));
  std::vector<std::string> known;
  for (const ModelShape& model : KnownModels()) {
    if (model.classes > 0) known.push_back(model.name);
  }
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    return absl::InvalidArgumentError(absl::StrCat("no weights of ", Quoted(name), " are published",
                                                   DidYouMeanOrKnown(name, known)));
  }
  const std::string home = endpoint.empty() ? "https://huggingface.co" : WithoutSlash(endpoint);
  CatalogFile file;
  file.url = absl::StrCat(mirror.empty() ? home : WithoutSlash(mirror), "/timm/", name, kTag,
                          "/resolve/main/model.safetensors");
  file.path = absl::StrCat(name, "/model.safetensors");
  file.check = &CheckSafetensors;  // a mirror may not say its checksum
  return std::vector<CatalogFile>{file};
}

absl::StatusOr<std::vector<CatalogFile>> FilesOfDataset(const std::string& name,
                                                        const std::string& mirror) {
  RETURN_IF_ERROR(CheckUrl("--mirror", mirror));
  const auto& datasets = Datasets();
  const auto found = datasets.find(name);
  if (found == datasets.end()) {
    std::vector<std::string> known;
    for (const auto& [dataset, files] : datasets) known.push_back(dataset);
    return absl::InvalidArgumentError(
        absl::StrCat("no dataset ", Quoted(name), " to fetch", DidYouMeanOrKnown(name, known)));
  }
  std::vector<CatalogFile> files = found->second;
  for (CatalogFile& file : files) file.url = ThroughMirror(file.url, mirror);
  return files;
}

}  // namespace qsweep::qctl
