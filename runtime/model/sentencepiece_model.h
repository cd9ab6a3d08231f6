#pragma once
// The content of a SentencePiece `tokenizer.model`: a serialized protobuf
// (sentencepiece_model.proto of google/sentencepiece, field numbers in the .cc), read here without
// the protobuf library.
//
// Why not libsentencepiece: it carries an old protobuf inside and exports its symbols, 1,280 of
// which libprotobuf exports too; both in one process is undefined behaviour. It also aborts on
// some broken models, and models here are untrusted.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace lockstep {

enum class PieceType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

struct Piece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::kNormal;
};

struct SentencePieceModel {
  enum class Kind : uint8_t { kUnigram = 1, kBpe = 2 };

  std::vector<Piece> pieces;  // by id
  Kind kind = Kind::kUnigram;
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  std::string unk_surface = " \xE2\x81\x87 ";  // what an unknown token prints
  std::string bos_piece = "<s>";
  std::string eos_piece = "</s>";
  std::string charsmap;  // normalization rules, empty for none (runtime/model/text_normalizer.h)
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

inline constexpr size_t kMaxPieces = 1 << 20;
inline constexpr size_t kMaxPieceBytes = 1 << 12;

// Errors: not a protobuf of this shape, a kind of model other than BPE or unigram, no piece, more
// pieces than kMaxPieces, an empty or overlong piece. `origin` begins each.
absl::StatusOr<SentencePieceModel> ParseSentencePieceModel(std::string_view serialized,
                                                           std::string_view origin);

}  // namespace lockstep
