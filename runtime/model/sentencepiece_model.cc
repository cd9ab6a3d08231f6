// A reader of the protobuf wire format, as much of it as this one message needs. A message is a
// sequence of fields; unknown ones are skipped, as protobuf does.

#include "runtime/model/sentencepiece_model.h"

#include <bit>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {

enum WireType : int { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct Field {
  uint64_t number = 0;
  int wire = 0;
  uint64_t value = 0;      // varint and fixed
  std::string_view bytes;  // length-delimited
};

// Fields one after the other; false from Next() at the end or, with broken() set, at nonsense.
class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : rest_(message) {}

  bool broken() const { return broken_; }

  bool Next(Field& field) {
    if (rest_.empty() || broken_) return false;
    uint64_t tag = 0;
    if (!Varint(tag)) return Break();
    field = Field{.number = tag >> 3, .wire = static_cast<int>(tag & 7), .value = 0, .bytes = {}};
    if (field.number == 0) return Break();
    switch (field.wire) {
      case kVarint:
        return Varint(field.value) || Break();
      case kFixed64:
        return Fixed(8, field.value) || Break();
      case kFixed32:
        return Fixed(4, field.value) || Break();
      case kBytes:
        return Bytes(field.bytes) || Break();
      default:
        return Break();
    }
  }

 private:
  bool Break() {
    broken_ = true;
    return false;
  }

  bool Varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const uint8_t byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  bool Fixed(size_t width, uint64_t& value) {
    if (rest_.size() < width) return false;
    value = 0;
    for (size_t i = 0; i < width; ++i) {
      value |= uint64_t{static_cast<uint8_t>(rest_[i])} << (8 * i);
    }
    rest_.remove_prefix(width);
    return true;
  }

  bool Bytes(std::string_view& bytes) {
    uint64_t length = 0;
    if (!Varint(length) || length > rest_.size()) return false;
    bytes = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return true;
  }

  std::string_view rest_;
  bool broken_ = false;
};

// ModelProto.SentencePiece: piece = 1, score = 2, type = 3. Nullopt: not such a message.
std::optional<Piece> ReadPiece(std::string_view message) {
  Piece piece;
  FieldReader reader(message);
  for (Field field; reader.Next(field);) {
    if (field.number == 1 && field.wire == kBytes) piece.text = std::string(field.bytes);
    if (field.number == 2 && field.wire == kFixed32) {
      piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    }
    if (field.number == 3 && field.wire == kVarint) {
      if (field.value < 1 || field.value > 6) return std::nullopt;
      piece.type = static_cast<PieceType>(field.value);
    }
  }
  if (reader.broken() || !std::isfinite(piece.score)) return std::nullopt;
  return piece;
}

// TrainerSpec: model_type = 3, treat_whitespace_as_suffix = 24, byte_fallback = 35,
// unk_surface = 44, bos_piece = 46, eos_piece = 47. Returns the model type (default 1), or
// nullopt when broken.
std::optional<uint64_t> ReadTrainerSpec(std::string_view message, SentencePieceModel& model) {
  uint64_t type = 1;
  FieldReader reader(message);
  for (Field field; reader.Next(field);) {
    if (field.wire == kVarint) {
      if (field.number == 3) type = field.value;
      if (field.number == 24) model.whitespace_as_suffix = field.value != 0;
      if (field.number == 35) model.byte_fallback = field.value != 0;
    } else if (field.wire == kBytes) {
      if (field.number == 44) model.unk_surface = std::string(field.bytes);
      if (field.number == 46) model.bos_piece = std::string(field.bytes);
      if (field.number == 47) model.eos_piece = std::string(field.bytes);
    }
  }
  if (reader.broken()) return std::nullopt;
  return type;
}

// NormalizerSpec: precompiled_charsmap = 2, add_dummy_prefix = 3, remove_extra_whitespaces = 4,
// escape_whitespaces = 5.
bool ReadNormalizerSpec(std::string_view message, SentencePieceModel& model) {
  FieldReader reader(message);
  for (Field field; reader.Next(field);) {
    if (field.number == 2 && field.wire == kBytes) model.charsmap = std::string(field.bytes);
    if (field.wire != kVarint) continue;
    if (field.number == 3) model.add_dummy_prefix = field.value != 0;
    if (field.number == 4) model.remove_extra_whitespaces = field.value != 0;
    if (field.number == 5) model.escape_whitespaces = field.value != 0;
  }
  return !reader.broken();
}

absl::Status Broken(std::string_view origin, const std::string& why) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(origin), ": not a SentencePiece model: ", why));
}

absl::Status AddPiece(std::string_view message, std::string_view origin,
                      SentencePieceModel& model) {
  const size_t id = model.pieces.size();
  if (id == kMaxPieces) return Broken(origin, absl::StrCat("more than ", kMaxPieces, " pieces"));
  std::optional<Piece> piece = ReadPiece(message);
  if (!piece) return Broken(origin, absl::StrCat("piece ", id, " is malformed"));
  if (piece->text.empty() || piece->text.size() > kMaxPieceBytes) {
    return Broken(origin, absl::StrCat("piece ", id, " has ", piece->text.size(), " bytes"));
  }
  model.pieces.push_back(*std::move(piece));
  return absl::OkStatus();
}

}  // namespace

// ModelProto: pieces = 1, trainer_spec = 2, normalizer_spec = 3.
absl::StatusOr<SentencePieceModel> ParseSentencePieceModel(std::string_view serialized,
                                                           std::string_view origin) {
  SentencePieceModel model;
  std::optional<uint64_t> type = 1;
  FieldReader reader(serialized);
  for (Field field; reader.Next(field);) {
    if (field.wire != kBytes) continue;
    if (field.number == 1) RETURN_IF_ERROR(AddPiece(field.bytes, origin, model));
    if (field.number == 2 && !(type = ReadTrainerSpec(field.bytes, model))) {
      return Broken(origin, "its trainer_spec is malformed");
    }
    if (field.number == 3 && !ReadNormalizerSpec(field.bytes, model)) {
      return Broken(origin, "its normalizer_spec is malformed");
    }
  }
  if (reader.broken()) return Broken(origin, "truncated or malformed");
  if (model.pieces.empty()) return Broken(origin, "it has no pieces");
  if (*type != 1 && *type != 2) {
    return Broken(origin, absl::StrCat("model type ", *type, "; supported: 1 (unigram), 2 (BPE)"));
  }
  model.kind = static_cast<SentencePieceModel::Kind>(*type);
  return model;
}

}  // namespace lockstep
