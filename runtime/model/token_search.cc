// Piece searches. Text parts are views into the normalized text, adjacent ones join by length.

#include "runtime/model/token_search.h"

#include <algorithm>
#include <limits>
#include <queue>

namespace lockstep {
namespace {

// Bytes that the first byte of a character announces, as far as the text goes: the searches see
// normalized text, where every character is whole except inside a model's own odd pieces.
size_t CharacterLength(std::string_view text) { return std::max<size_t>(1, Utf8Length(text)); }

const Piece& PieceOf(const PieceTable& table, int id) {
  return table.model.pieces[static_cast<size_t>(id)];
}

struct Symbol {
  int previous, next;  // -1 at the ends
  bool frozen;         // a literal: never joined
  std::string_view text;
};

struct Join {
  int left, right;
  float score;
  size_t bytes;  // of both together: tells a join that is out of date
};
struct Worse {
  bool operator()(const Join& a, const Join& b) const {
    return a.score < b.score || (a.score == b.score && a.left > b.left);
  }
};

class BpeSearch {
 public:
  BpeSearch(const PieceTable& table, std::string_view text) : table_(table) {
    while (!text.empty()) {
      const size_t literal = table.literals.Match(text);
      const size_t length = literal > 0 ? literal : CharacterLength(text);
      const int index = static_cast<int>(symbols_.size());
      const int next = length == text.size() ? -1 : index + 1;
      symbols_.push_back({index - 1, next, literal > 0, text.substr(0, length)});
      text.remove_prefix(length);
    }
  }

  std::vector<FoundPiece> Run() {
    for (int i = 1; i < static_cast<int>(symbols_.size()); ++i) Offer(i - 1, i);
    while (!agenda_.empty()) {
      const Join join = agenda_.top();
      agenda_.pop();
      Take(join);
    }
    std::vector<FoundPiece> found;
    for (int i = symbols_.empty() ? -1 : 0; i >= 0; i = At(i).next) Emit(At(i).text, found);
    return found;
  }

 private:
  Symbol& At(int i) { return symbols_[static_cast<size_t>(i)]; }

  void Offer(int left, int right) {
    if (left < 0 || right < 0 || At(left).frozen || At(right).frozen) return;
    const std::string_view joined(At(left).text.data(),
                                  At(left).text.size() + At(right).text.size());
    const auto found = table_.ids.find(std::string(joined));
    if (found == table_.ids.end()) return;
    const Piece& piece = PieceOf(table_, found->second);
    agenda_.push({left, right, piece.score, joined.size()});
    if (piece.type == PieceType::kUnused) apart_[found->first] = At(left).text.size();
  }

  void Take(const Join& join) {
    Symbol& left = At(join.left);
    Symbol& right = At(join.right);
    if (left.text.empty() || right.text.empty()) return;
    if (left.text.size() + right.text.size() != join.bytes) return;
    left.text = std::string_view(left.text.data(), join.bytes);
    left.next = right.next;
    if (right.next >= 0) At(right.next).previous = join.left;
    right.text = {};
    Offer(left.previous, join.left);
    Offer(join.left, left.next);
  }

  // A piece marked unused is replaced by the two that made it; both are shorter, so this ends.
  void Emit(std::string_view whole, std::vector<FoundPiece>& found) {
    std::vector<std::string_view> stack = {whole};
    while (!stack.empty()) {
      const std::string_view text = stack.back();
      stack.pop_back();
      const auto id = table_.ids.find(std::string(text));
      if (id == table_.ids.end()) {
        found.push_back({text, table_.unk_id});
        continue;
      }
      const auto apart = apart_.find(id->first);
      if (PieceOf(table_, id->second).type != PieceType::kUnused || apart == apart_.end()) {
        found.push_back({text, id->second});
        continue;
      }
      stack.push_back(text.substr(apart->second));
      stack.push_back(text.substr(0, apart->second));
    }
  }

  const PieceTable& table_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Join, std::vector<Join>, Worse> agenda_;
  std::unordered_map<std::string, size_t> apart_;  // unused piece: bytes of its left half
};

// The best way to reach a byte of the text.
struct Reach {
  int id = -1;
  size_t from = 0;
  float score = 0;
  bool reached = false;
};

struct ScoreRange {
  float min = std::numeric_limits<float>::max();     // of normal pieces
  float max = std::numeric_limits<float>::lowest();  // of all pieces: 0 where there are controls
  size_t longest = 1;                                // bytes of the longest piece
};

ScoreRange RangeOf(const PieceTable& table) {
  ScoreRange range;
  for (const Piece& piece : table.model.pieces) {
    range.longest = std::max(range.longest, piece.text.size());
    range.max = std::max(range.max, piece.score);
    if (piece.type == PieceType::kNormal) range.min = std::min(range.min, piece.score);
  }
  return range;
}

// Sums are compared in double and kept in float, as the library does: ties depend on it.
void Improve(Reach& to, double score, size_t from, int id) {
  if (!to.reached || score > to.score) to = {id, from, static_cast<float>(score), true};
}

// Offers every piece that begins at `at`; true if one is exactly the first character.
bool OfferPieces(const PieceTable& table, const ScoreRange& range, std::string_view text, size_t at,
                 size_t character, std::vector<Reach>& best) {
  bool single = false;
  const size_t limit = std::min(range.longest, text.size() - at);
  for (size_t length = 1; length <= limit; ++length) {
    const auto found = table.ids.find(std::string(text.substr(at, length)));
    if (found == table.ids.end()) continue;
    const Piece& piece = PieceOf(table, found->second);
    if (piece.type == PieceType::kUnused) continue;
    const double score = piece.type == PieceType::kUserDefined
                             ? static_cast<float>(length) * range.max - 0.1
                             : piece.score;
    Improve(best[at + length], best[at].score + score, at, found->second);
    single = single || length == character;
  }
  return single;
}

}  // namespace

std::vector<FoundPiece> SearchBpe(const PieceTable& table, std::string_view text) {
  return BpeSearch(table, text).Run();
}

std::vector<FoundPiece> SearchUnigram(const PieceTable& table, std::string_view text) {
  constexpr float kUnknownPenalty = 10.0f;
  const ScoreRange range = RangeOf(table);
  std::vector<Reach> best(text.size() + 1);
  for (size_t at = 0; at < text.size();) {
    const size_t character = CharacterLength(text.substr(at));
    if (!OfferPieces(table, range, text, at, character, best)) {
      Improve(best[at + character], best[at].score + (range.min - kUnknownPenalty), at,
              table.unk_id);
    }
    at += character;
  }
  std::vector<FoundPiece> found;
  for (size_t end = text.size(); end > 0; end = best[end].from) {
    found.push_back({text.substr(best[end].from, end - best[end].from), best[end].id});
  }
  std::reverse(found.begin(), found.end());
  return found;
}

}  // namespace lockstep
