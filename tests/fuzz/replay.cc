// In place of libFuzzer, with any compiler: the files of a corpus, then so many random changes of
// them, always the same. A failure ends the process.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::mt19937 random_bits(1);

size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_bits); }

void Feed(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

// A few bytes changed, cut out, doubled, or replaced by a piece of another input.
std::string Change(std::string input, const std::vector<std::string>& others) {
  for (size_t left = 1 + Below(4); left > 0; --left) {
    const size_t at = Below(input.size() + 1);
    const size_t length = Below(input.size() - at + 1);
    switch (Below(4)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(Below(256));
        break;
      case 1:
        input.erase(at, length);
        break;
      case 2:
        input.insert(at, input.substr(at, length));
        break;
      default: {
        const std::string& other = others[Below(others.size())];
        input.replace(at, length, other.substr(Below(other.size() + 1), Below(64)));
      }
    }
    if (input.size() > (1 << 16)) input.resize(1 << 16);
  }
  return input;
}

TEST(Fuzz, SurvivesTheCorpusAndChangesOfIt) {
  std::vector<std::string> corpus;
  for (const auto& entry : std::filesystem::directory_iterator(QSWEEP_FUZZ_CORPUS)) {
    std::ifstream in(entry.path(), std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  ASSERT_FALSE(corpus.empty());
  std::sort(corpus.begin(), corpus.end());  // a directory's order is its file system's
  for (const std::string& input : corpus) Feed(input);
  for (int i = 0; i < QSWEEP_FUZZ_CHANGES; ++i) Feed(Change(corpus[Below(corpus.size())], corpus));
}

}  // namespace
