#pragma once
// The two ways a SentencePiece model cuts a normalized text into pieces. Both take what a piece
// is worth from a PieceTable and keep every tie's outcome as google/sentencepiece has it.

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/model/sentencepiece_model.h"
#include "runtime/model/text_normalizer.h"

namespace lockstep {

// What the searches may look up. All members must outlive the call.
struct PieceTable {
  const SentencePieceModel& model;
  const std::unordered_map<std::string, int>& ids;  // normal, user-defined and unused pieces
  const LiteralMatcher& literals;
  int unk_id;
};

// A part of the normalized text and its id: unk_id where no piece is that part.
struct FoundPiece {
  std::string_view text;
  int id;
};

// Byte-pair encoding: from single characters, always joins the adjacent pair that makes the
// best-scored piece, the leftmost of equals; a piece marked unused is taken apart again.
std::vector<FoundPiece> SearchBpe(const PieceTable& table, std::string_view text);

// Unigram language model: the cut with the greatest sum of scores (Viterbi search). A character
// without a piece of its own may be unknown at 10 below the worst score.
std::vector<FoundPiece> SearchUnigram(const PieceTable& table, std::string_view text);

}  // namespace lockstep
