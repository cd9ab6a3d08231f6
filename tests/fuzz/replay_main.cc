// Runs a fuzz target without libFuzzer: fuzz_replay_NAME CORPUS_FOLDER [MUTATIONS].
//
// The empty input, every file of the corpus (by name), every short prefix of each, then MUTATIONS
// (20,000) inputs made from them by a fixed generator: the same inputs on every host. A finding
// aborts; the input's number and bytes are on stderr by then.

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kLongestPrefix = 1024;
constexpr size_t kLongestInput = 1 << 16;

std::string current;  // for the report of a crash
long input_number = 0;

void ReportInput() {
  std::fprintf(stderr, "input %ld, %zu bytes:", input_number, current.size());
  for (const char c : current) std::fprintf(stderr, " %02x", static_cast<uint8_t>(c));
  std::fprintf(stderr, "\n");
}

extern "C" void OnAbort(int) { ReportInput(); }

void Run(std::string input) {
  current = std::move(input);
  ++input_number;
  // A copy of exactly this size, so that a checker sees a read beyond it.
  std::vector<uint8_t> bytes(current.begin(), current.end());
  bytes.shrink_to_fit();
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::vector<std::string> ReadCorpus(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  if (std::filesystem::is_directory(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.is_regular_file()) paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus = {""};
  for (const auto& path : paths) {
    std::ifstream in(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return corpus;
}

class Mutator {
 public:
  explicit Mutator(std::vector<std::string> corpus) : corpus_(std::move(corpus)) {}

  std::string Next() {
    std::string input = corpus_[Below(corpus_.size())];
    for (size_t edits = 1 + Below(4); edits > 0; --edits) Edit(input);
    if (input.size() > kLongestInput) input.resize(kLongestInput);
    return input;
  }

 private:
  // xorshift64*
  uint64_t Random() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull;
  }
  size_t Below(size_t n) { return n == 0 ? 0 : static_cast<size_t>(Random() >> 33) % n; }

  void Edit(std::string& input) {
    static const char* const kTokens[] = {
        "\"", "{", "[", "]", "}", ":", ",", " ", "-1", "0", "null", "true", "1e999", "\\u0000",
        "4294967296", "9223372036854775808", "18446744073709551615", "\xff\xff\xff\xff"};
    const size_t at = Below(input.size() + 1);
    switch (Below(6)) {
      case 0: if (at < input.size()) input[at] ^= static_cast<char>(1 << Below(8)); break;
      case 1: if (at < input.size()) input[at] = static_cast<char>(Random()); break;
      case 2: input.erase(at, 1 + Below(16)); break;
      case 3: input.insert(at, kTokens[Below(std::size(kTokens))]); break;
      case 4: input.insert(at, input.substr(Below(input.size() + 1), Below(64))); break;
      default: {  // part of another input
        const std::string& other = corpus_[Below(corpus_.size())];
        input.insert(at, other.substr(Below(other.size() + 1), Below(128)));
      }
    }
  }

  std::vector<std::string> corpus_;
  uint64_t state_ = 0x9e3779b97f4a7c15ull;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER [MUTATIONS]\n", argv[0]);
    return 2;
  }
  std::signal(SIGABRT, OnAbort);
  const std::vector<std::string> corpus = ReadCorpus(argv[1]);
  for (const std::string& input : corpus) {
    Run(input);
    for (size_t n = 0; n < std::min(input.size(), kLongestPrefix); ++n) Run(input.substr(0, n));
  }
  Mutator mutator(corpus);
  const long mutations = argc > 2 ? std::atol(argv[2]) : 20'000;
  for (long i = 0; i < mutations; ++i) Run(mutator.Next());
  std::printf("%ld inputs from %zu seeds\n", input_number, corpus.size());
  return 0;
}
