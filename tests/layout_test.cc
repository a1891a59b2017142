// The walls between the rooms, as docs/ARCHITECTURE.md draws them: who may include what, and that
// every test is built.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

const fs::path kRoot = QSWEEP_SOURCE_DIR;
// Longest name first: a file belongs to the first room it lies in.
const std::vector<std::string> kRooms = {
    "scheduler/core", "worker/agent", "worker/engine", "common", "storage",
    "scheduler",      "qctl",         "analysis",      "tests",  "bench"};

struct SourceFile {
  std::string path;  // relative to the root
  std::string room;
  std::string text;
};

std::string Read(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<SourceFile> SourceFiles() {
  std::vector<SourceFile> files;
  for (const std::string& room : kRooms) {
    if (!fs::exists(kRoot / room)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / room)) {
      const std::string extension = entry.path().extension();
      if (extension != ".cc" && extension != ".h") continue;
      const std::string path = entry.path().lexically_relative(kRoot);
      if (room == "scheduler" && path.starts_with("scheduler/core/")) continue;
      files.push_back({path, room, Read(entry.path())});
    }
  }
  return files;
}

std::vector<std::string> Includes(const std::string& text) {
  static const std::regex include(R"(#include\s+[<"]([^>"]+)[>"])");
  std::vector<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), include), end; it != end; ++it) {
    found.push_back((*it)[1]);
  }
  return found;
}

bool StartsWithAny(const std::string& text, const std::vector<std::string>& prefixes) {
  for (const std::string& prefix : prefixes) {
    if (text.starts_with(prefix)) return true;
  }
  return false;
}

// Only `allowed` rooms may include a header that starts with one of `prefixes`.
void ExpectOnlyIn(const std::vector<std::string>& prefixes, const std::set<std::string>& allowed) {
  for (const SourceFile& file : SourceFiles()) {
    if (allowed.contains(file.room)) continue;
    for (const std::string& header : Includes(file.text)) {
      EXPECT_FALSE(StartsWithAny(header, prefixes)) << file.path << " includes " << header;
    }
  }
}

// Files of `room` include headers of no room but `allowed` and its own.
void ExpectIncludesOnly(const std::string& room, std::set<std::string> allowed) {
  allowed.insert(room);
  for (const SourceFile& file : SourceFiles()) {
    if (file.room != room) continue;
    for (const std::string& header : Includes(file.text)) {
      for (const std::string& other : kRooms) {
        if (!header.starts_with(other + "/")) continue;
        EXPECT_TRUE(allowed.contains(other)) << file.path << " includes " << header;
        break;
      }
    }
  }
}

TEST(Layout, TheTestSeesTheSources) { EXPECT_GT(SourceFiles().size(), 50u); }

TEST(Layout, OnlyTheEngineKnowsTorch) {
  ExpectOnlyIn({"torch/", "ATen/", "c10/", "oneapi/", "dnnl"}, {"worker/engine"});
}

TEST(Layout, OnlyStorageKnowsSqlite) { ExpectOnlyIn({"sqlite3"}, {"storage"}); }

TEST(Layout, OnlyTheCommandLineKnowsCli11) { ExpectOnlyIn({"CLI/"}, {"common"}); }

TEST(Layout, GrpcStaysAtTheEdges) {
  for (const SourceFile& file : SourceFiles()) {
    const bool allowed = file.room == "scheduler" || file.room == "worker/agent" ||
                         file.room == "qctl" || file.room == "tests" || file.room == "bench" ||
                         file.path.starts_with("common/rpc");
    if (allowed) continue;
    for (const std::string& header : Includes(file.text)) {
      EXPECT_FALSE(header.starts_with("grpc") || header.ends_with(".grpc.pb.h"))
          << file.path << " includes " << header;
    }
  }
}

TEST(Layout, ArrowsPointOneWay) {
  ExpectIncludesOnly("common", {});
  ExpectIncludesOnly("storage", {"common"});
  ExpectIncludesOnly("scheduler/core", {"common"});
  ExpectIncludesOnly("scheduler", {"common", "storage", "scheduler/core"});
  ExpectIncludesOnly("worker/agent", {"common"});
  ExpectIncludesOnly("worker/engine", {"common"});
  ExpectIncludesOnly("analysis", {"common"});
  ExpectIncludesOnly("qctl", {"common", "analysis"});
}

// Within the engine, too: a part includes itself and those named with it, and its tests `testing`.
TEST(Layout, TheEnginesPartsHaveAnOrder) {
  const std::map<std::string, std::set<std::string>> below = {
      {"base", {}},
      {"quant", {"base"}},
      {"data", {"base"}},
      {"model", {"base", "quant"}},
      {"testing", {"base"}},
      {"train", {"base", "quant", "data", "model"}},
      {"qtrain", {"base", "quant", "data", "model", "train"}},
      {"fuzz", {"base", "quant", "data", "model", "train"}}};
  const std::string engine = "worker/engine/";
  const auto part = [&engine](const std::string& path) {
    return path.substr(engine.size(), path.find('/', engine.size()) - engine.size());
  };
  for (const SourceFile& file : SourceFiles()) {
    if (file.room != "worker/engine") continue;
    const std::string own = part(file.path);
    ASSERT_TRUE(below.contains(own)) << file.path << " is in no part";
    for (const std::string& header : Includes(file.text)) {
      if (!header.starts_with(engine) || part(header) == own) continue;
      if (part(header) == "testing" && file.path.ends_with("_test.cc")) continue;
      EXPECT_TRUE(below.at(own).contains(part(header))) << file.path << " includes " << header;
    }
  }
}

TEST(Layout, TheSystemClockIsBehindOneDoor) {
  static const std::regex clock(
      R"(system_clock|steady_clock|clock_gettime|gettimeofday|absl::Now\(|[^_a-z]time\(nullptr\)|)"
      R"(gpr_now|GPR_CLOCK_)");
  for (const SourceFile& file : SourceFiles()) {
    if (file.path.starts_with("common/clock") || file.room == "tests" || file.room == "bench" ||
        file.path.find("/testing/") != std::string::npos) {
      continue;
    }
    EXPECT_FALSE(std::regex_search(file.text, clock)) << file.path << " reads the system's clock";
  }
}

// A test that no CMakeLists.txt names is never built and so never fails.
TEST(Layout, EveryTestIsRegistered) {
  for (const SourceFile& file : SourceFiles()) {
    if (!file.path.ends_with("_test.cc")) continue;
    const fs::path path = kRoot / file.path;
    bool registered = false;
    for (fs::path dir = path.parent_path(); !registered; dir = dir.parent_path()) {
      const std::string cmake = Read(dir / "CMakeLists.txt");
      // With what stands before it: log_test.cc is not event_log_test.cc.
      registered = cmake.find(" " + path.lexically_relative(dir).string()) != std::string::npos;
      if (dir == kRoot) break;
    }
    EXPECT_TRUE(registered) << file.path << " stands in no CMakeLists.txt";
  }
}

// docs/control.md promises things and names the tests that hold them.
TEST(Layout, EveryTestThatTheDocumentsNameExists) {
  std::string all;
  for (const SourceFile& file : SourceFiles()) {
    if (file.path.ends_with("_test.cc")) all += file.text;
  }
  const std::string document = Read(kRoot / "docs/control.md");
  static const std::regex name(R"(`([A-Z]\w+)\.([A-Z]\w+)`)");
  int names = 0;
  for (std::sregex_iterator it(document.begin(), document.end(), name), end; it != end; ++it) {
    ++names;
    std::ostringstream test;
    test << '(' << (*it)[1] << ", " << (*it)[2] << ')';
    EXPECT_TRUE(all.find(test.str()) != std::string::npos) << (*it)[0];
  }
  EXPECT_GT(names, 20);
}

}  // namespace
