// Indexing a model, encoding through the searches of token_search.h, and decoding token by token.

#include "runtime/model/tokenizer.h"

#include <sys/stat.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "runtime/files/mapped_file.h"
#include "runtime/files/strict_json.h"
#include "runtime/model/token_search.h"

namespace lockstep {
namespace {

std::string TokenizerPath(const std::string& folder) {
  return absl::StrCat(folder, "/tokenizer.model");
}

// "<0x41>": the piece that stands for a byte.
std::string BytePieceText(int byte) { return absl::StrFormat("<0x%02X>", byte); }

bool IsMergeable(PieceType type) {
  return type == PieceType::kNormal || type == PieceType::kUserDefined ||
         type == PieceType::kUnused;
}

}  // namespace

Tokenizer::Tokenizer(SentencePieceModel model, TextNormalizer normalizer)
    : model_(std::move(model)), normalizer_(std::move(normalizer)), literals_(model_) {}

absl::StatusOr<Tokenizer> Tokenizer::Parse(std::string_view serialized, std::string_view origin) {
  ASSIGN_OR_RETURN(SentencePieceModel model, ParseSentencePieceModel(serialized, origin));
  ASSIGN_OR_RETURN(TextNormalizer normalizer, TextNormalizer::Create(model, origin));
  Tokenizer tokenizer(std::move(model), std::move(normalizer));
  RETURN_IF_ERROR(tokenizer.Index(origin));
  return tokenizer;
}

absl::StatusOr<Tokenizer> Tokenizer::Load(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return Parse(file.text(), path);
}

absl::StatusOr<std::optional<Tokenizer>> Tokenizer::LoadIfPresent(const std::string& folder) {
  struct stat info;
  if (::stat(TokenizerPath(folder).c_str(), &info) != 0) return std::optional<Tokenizer>();
  ASSIGN_OR_RETURN(Tokenizer tokenizer, Load(TokenizerPath(folder)));
  return std::optional<Tokenizer>(std::move(tokenizer));
}

absl::Status Tokenizer::IndexPiece(int id, std::string_view origin) {
  const Piece& entry = piece(id);
  auto& index = IsMergeable(entry.type) ? ids_ : reserved_;
  if (!index.emplace(entry.text, id).second) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(origin), ": piece ", id, " ",
                                                   Quoted(entry.text), " occurs twice"));
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::Index(std::string_view origin) {
  int unknowns = 0;
  for (int id = 0; id < vocab_size(); ++id) {
    RETURN_IF_ERROR(IndexPiece(id, origin));
    if (piece(id).type != PieceType::kUnknown) continue;
    unk_id_ = id;
    ++unknowns;
  }
  if (unknowns != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(origin), ": ", unknowns, " unknown pieces, 1 is needed"));
  }
  for (int byte = 0; model_.byte_fallback && byte < 256; ++byte) {
    const auto found = reserved_.find(BytePieceText(byte));
    if (found == reserved_.end() || piece(found->second).type != PieceType::kByte) {
      return absl::InvalidArgumentError(absl::StrCat(
          std::string(origin), ": byte_fallback is set but ", BytePieceText(byte), " is missing"));
    }
    byte_ids_.push_back(found->second);
  }
  bos_id_ = FindControl(model_.bos_piece);
  eos_id_ = FindControl(model_.eos_piece);
  return absl::OkStatus();
}

std::optional<int> Tokenizer::FindControl(const std::string& text) const {
  const auto found = reserved_.find(text);
  if (found == reserved_.end() || piece(found->second).type != PieceType::kControl) {
    return std::nullopt;
  }
  return found->second;
}

void Tokenizer::AppendUnknown(std::string_view text, std::vector<int>& ids) const {
  if (!model_.byte_fallback) {
    ids.push_back(unk_id_);
    return;
  }
  for (const char c : text) ids.push_back(byte_ids_[static_cast<uint8_t>(c)]);
}

absl::StatusOr<std::vector<int>> Tokenizer::Encode(std::string_view text, bool add_bos) const {
  if (text.size() > kMaxTextBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a text of ", text.size(), " bytes exceeds the limit of ", kMaxTextBytes));
  }
  std::vector<int> ids;
  if (add_bos && !bos_id_) {
    return absl::FailedPreconditionError(
        absl::StrCat("the tokenizer has no beginning-of-text piece ", Quoted(model_.bos_piece)));
  }
  if (add_bos) ids.push_back(*bos_id_);
  const std::string normalized = normalizer_.Normalize(text);
  const PieceTable table{model_, ids_, literals_, unk_id_};
  const bool bpe = model_.kind == SentencePieceModel::Kind::kBpe;
  bool after_unknown = false;  // a run of unknown parts is one unknown token
  for (const FoundPiece& part :
       bpe ? SearchBpe(table, normalized) : SearchUnigram(table, normalized)) {
    const bool unknown = part.id == unk_id_;
    if (!unknown) {
      ids.push_back(part.id);
    } else if (model_.byte_fallback || !after_unknown) {
      AppendUnknown(part.text, ids);
    }
    after_unknown = unknown;
  }
  return ids;
}

absl::StatusOr<std::string> Tokenizer::Decode(std::span<const int> ids) const {
  StreamDecoder decoder(this);
  std::string text;
  for (const int id : ids) {
    ASSIGN_OR_RETURN(const std::string part, decoder.Push(id));
    text += part;
  }
  return text + decoder.Finish();
}

absl::Status NoTokenizerError(const std::string& folder) {
  return absl::NotFoundError(
      absl::StrCat("text needs a SentencePiece tokenizer, but there is no ", TokenizerPath(folder),
                   " (tokenizer.json is not read); give the prompt as token ids instead"));
}

// Moves whole characters out of pending_; with `all`, the rest too, each byte as U+FFFD.
void StreamDecoder::DrainBytes(bool all, std::string& out) {
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const size_t length = Utf8Length(rest);
    if (length == 0 && !all && IsUtf8Prefix(rest)) break;
    out.append(length > 0 ? rest.substr(0, length) : kReplacementCharacter);
    rest.remove_prefix(length > 0 ? length : 1);
  }
  pending_ = std::string(rest);
}

// A piece's own text, with spaces back in their place. The space that the encoder put before the
// text is taken away again, and all leading ones where the model removes extra spaces.
void StreamDecoder::AppendText(std::string_view text, std::string& out) {
  const SentencePieceModel& model = tokenizer_->model();
  if (at_beginning_ && (model.add_dummy_prefix || model.remove_extra_whitespaces) &&
      text.starts_with(kSpaceSymbol)) {
    text.remove_prefix(kSpaceSymbol.size());
    // Where only the dummy is dropped, a second leading space belongs to the text.
    if (!model.remove_extra_whitespaces) at_beginning_ = false;
  }
  while (!text.empty()) {
    const bool space = text.starts_with(kSpaceSymbol);
    out.append(space ? std::string_view(" ") : text.substr(0, 1));
    text.remove_prefix(space ? kSpaceSymbol.size() : 1);
  }
}

absl::StatusOr<std::string> StreamDecoder::Push(int id) {
  if (id < 0 || id >= tokenizer_->vocab_size()) {
    return absl::OutOfRangeError(absl::StrCat("token id ", id, " is outside the tokenizer's ",
                                              tokenizer_->vocab_size(), " pieces"));
  }
  const Piece& piece = tokenizer_->piece(id);
  std::string out;
  if (piece.type == PieceType::kByte) {
    // "<0xE2>" as the model writes it; a byte piece of another form stands for nothing.
    const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
    const std::string& text = piece.text;
    if (text.size() == 6) {
      pending_.push_back(static_cast<char>(digit(text[3]) * 16 + digit(text[4])));
    }
    DrainBytes(false, out);
  } else {
    DrainBytes(true, out);
    if (!out.empty()) at_beginning_ = false;
    if (piece.type == PieceType::kUnknown)
      out += tokenizer_->model().unk_surface;
    else if (piece.type != PieceType::kControl)
      AppendText(piece.text, out);
  }
  if (!out.empty()) at_beginning_ = false;
  return out;
}

std::string StreamDecoder::Finish() {
  std::string out;
  DrainBytes(true, out);
  return out;
}

}  // namespace lockstep
