#pragma once
// What SentencePiece does to a text before cutting it into pieces: replace character sequences by
// the model's rules (NFKC and the like), settle spaces, and write each space as U+2581.
//
// Also the UTF-8 reader that the tokenizer's other parts share.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/model/sentencepiece_model.h"

namespace lockstep {

inline constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";           // U+2581
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// Bytes of the well-formed UTF-8 character that `text` begins with; 0 if there is none.
size_t Utf8Length(std::string_view text);
// True when `text` is not a whole character but the beginning of some.
bool IsUtf8Prefix(std::string_view text);

// The sequences that are never cut or rewritten: the model's user-defined pieces. Longest match.
class LiteralMatcher {
 public:
  explicit LiteralMatcher(const SentencePieceModel& model);
  // Bytes of the longest literal that `text` begins with, 0 if none.
  size_t Match(std::string_view text) const;

 private:
  std::vector<std::string> literals_;  // sorted by descending length
};

class TextNormalizer {
 public:
  // InvalidArgument if the model's rules are malformed. Copies what it needs.
  static absl::StatusOr<TextNormalizer> Create(const SentencePieceModel& model,
                                               std::string_view origin);

  // Invalid bytes become U+FFFD one by one. A text of nothing but spaces becomes "" where the
  // model removes extra spaces.
  std::string Normalize(std::string_view text) const;

 private:
  struct Replacement {
    std::string_view text;
    size_t consumed;
  };

  explicit TextNormalizer(const SentencePieceModel& model);
  Replacement Next(std::string_view text) const;

  LiteralMatcher literals_;
  std::vector<uint32_t> trie_;  // double array: see the .cc
  std::string replacements_;    // zero-terminated strings, indexed by the trie's values
  bool dummy_prefix_, as_suffix_, trim_spaces_, escape_;
};

}  // namespace lockstep
