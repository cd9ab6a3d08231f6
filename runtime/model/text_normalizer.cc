// The rules are a "charsmap": | trie bytes: 4 LE | trie: uint32 units | strings, zero-terminated |.
// The trie is a double array as darts-clone writes it. A unit holds: bit 8 "has a leaf", bits 0-7
// the label, bit 31 "is a leaf" (then bits 0-30 are the value), bits 10-30 an offset that bit 9
// scales by 256. The child of node n for byte b is at n ^ offset(n) ^ b and must have label b.

#include "runtime/model/text_normalizer.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {

uint32_t Offset(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }
uint32_t Label(uint32_t unit) { return unit & ((1u << 31) | 0xffu); }
bool HasLeaf(uint32_t unit) { return (unit >> 8) & 1; }
uint32_t Value(uint32_t unit) { return unit & ((1u << 31) - 1); }

bool IsTrail(uint8_t byte) { return (byte & 0xc0) == 0x80; }

// Length that the first byte announces, 0 for a byte that begins nothing.
size_t AnnouncedLength(uint8_t first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  if (first >= 0xf0 && first < 0xf5) return 4;
  return 0;
}

// The second byte's narrower range after some first bytes: no overlong forms, no surrogates,
// nothing above U+10FFFF.
bool SecondByteFits(uint8_t first, uint8_t second) {
  if (!IsTrail(second)) return false;
  if (first == 0xe0) return second >= 0xa0;
  if (first == 0xed) return second < 0xa0;
  if (first == 0xf0) return second >= 0x90;
  if (first == 0xf4) return second < 0x90;
  return true;
}

// How many bytes of `text` fit the character that its first byte announces.
size_t FittingBytes(std::string_view text, size_t announced) {
  size_t fitting = announced == 0 || text.empty() ? 0 : 1;
  while (fitting > 0 && fitting < announced && fitting < text.size()) {
    const uint8_t byte = static_cast<uint8_t>(text[fitting]);
    const bool fits =
        fitting == 1 ? SecondByteFits(static_cast<uint8_t>(text[0]), byte) : IsTrail(byte);
    if (!fits) return 0;
    ++fitting;
  }
  return fitting;
}

bool ConsumePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

size_t Utf8Length(std::string_view text) {
  if (text.empty()) return 0;
  const size_t announced = AnnouncedLength(static_cast<uint8_t>(text[0]));
  return announced > 0 && FittingBytes(text, announced) == announced ? announced : 0;
}

bool IsUtf8Prefix(std::string_view text) {
  if (text.empty()) return false;
  const size_t announced = AnnouncedLength(static_cast<uint8_t>(text[0]));
  return text.size() < announced && FittingBytes(text, announced) == text.size();
}

LiteralMatcher::LiteralMatcher(const SentencePieceModel& model) {
  for (const Piece& piece : model.pieces) {
    if (piece.type == PieceType::kUserDefined) literals_.push_back(piece.text);
  }
  std::stable_sort(literals_.begin(), literals_.end(),
                   [](const auto& a, const auto& b) { return a.size() > b.size(); });
}

size_t LiteralMatcher::Match(std::string_view text) const {
  for (const std::string& literal : literals_) {
    if (text.starts_with(literal)) return literal.size();
  }
  return 0;
}

TextNormalizer::TextNormalizer(const SentencePieceModel& model)
    : literals_(model),
      dummy_prefix_(model.add_dummy_prefix),
      as_suffix_(model.whitespace_as_suffix),
      trim_spaces_(model.remove_extra_whitespaces),
      escape_(model.escape_whitespaces) {}

absl::StatusOr<TextNormalizer> TextNormalizer::Create(const SentencePieceModel& model,
                                                      std::string_view origin) {
  TextNormalizer normalizer(model);
  const std::string& map = model.charsmap;
  if (map.empty()) return normalizer;
  uint32_t bytes = 0;
  if (map.size() >= 4) std::memcpy(&bytes, map.data(), 4);
  if (map.size() < 4 || bytes > map.size() - 4 || bytes % 4 != 0 || bytes == 0 ||
      map.back() != '\0') {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(origin), ": malformed charsmap of ", map.size(), " bytes"));
  }
  normalizer.trie_.resize(bytes / 4);
  std::memcpy(normalizer.trie_.data(), map.data() + 4, bytes);
  normalizer.replacements_ = map.substr(4 + bytes);
  return normalizer;
}

// The longest rule that applies at the beginning of `text`, or its first character as it is.
TextNormalizer::Replacement TextNormalizer::Next(std::string_view text) const {
  if (const size_t literal = literals_.Match(text)) return {text.substr(0, literal), literal};
  std::optional<uint32_t> value;
  size_t length = 0;
  size_t node = trie_.empty() ? 0 : Offset(trie_[0]);
  for (size_t i = 0; i < text.size() && !trie_.empty(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    node ^= byte;
    if (node >= trie_.size() || Label(trie_[node]) != byte) break;
    const uint32_t unit = trie_[node];
    node ^= Offset(unit);
    if (node >= trie_.size()) break;
    if (HasLeaf(unit)) {
      value = Value(trie_[node]);
      length = i + 1;
    }
  }
  if (value && *value < replacements_.size()) {
    return {std::string_view(replacements_.c_str() + *value), length};
  }
  const size_t character = Utf8Length(text);
  if (character == 0) return {kReplacementCharacter, 1};
  return {text.substr(0, character), character};
}

std::string TextNormalizer::Normalize(std::string_view text) const {
  const std::string_view space = escape_ ? kSpaceSymbol : std::string_view(" ");
  if (trim_spaces_) {
    while (!text.empty()) {
      const Replacement next = Next(text);
      if (next.text != " ") break;
      text.remove_prefix(next.consumed);
    }
  }
  std::string out;
  if (text.empty()) return out;
  if (dummy_prefix_ && !as_suffix_) out.append(space);
  bool after_space = trim_spaces_;
  while (!text.empty()) {
    const Replacement next = Next(text);
    std::string_view piece = next.text;
    while (after_space && ConsumePrefix(piece, " ")) {
    }
    for (const char c : piece) {
      if (c == ' ')
        out.append(space);
      else
        out.push_back(c);
    }
    if (!piece.empty()) after_space = piece.ends_with(' ');
    if (!trim_spaces_) after_space = false;
    text.remove_prefix(next.consumed);
  }
  while (trim_spaces_ && out.ends_with(space)) out.erase(out.size() - space.size());
  if (dummy_prefix_ && as_suffix_) out.append(space);
  return out;
}

}  // namespace lockstep
