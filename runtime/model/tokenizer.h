#pragma once
// Text to token ids and back with a SentencePiece model (`tokenizer.model`), giving the ids that
// google/sentencepiece gives. A run without text (--prompt-ids) needs no tokenizer.
//
//   text --normalize--> characters --BPE merges or unigram search--> pieces --> ids
//
// A character that no piece covers becomes its UTF-8 bytes ("<0xE2>" ...) where the model has byte
// pieces, the unknown token otherwise.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/model/sentencepiece_model.h"
#include "runtime/model/text_normalizer.h"

namespace lockstep {

class Tokenizer {
 public:
  // From the bytes of a model; `origin` begins every error.
  static absl::StatusOr<Tokenizer> Parse(std::string_view serialized, std::string_view origin);
  static absl::StatusOr<Tokenizer> Load(const std::string& path);
  // `folder`/tokenizer.model. Nullopt when there is no such file: an error only once text is
  // needed (NoTokenizerError).
  static absl::StatusOr<std::optional<Tokenizer>> LoadIfPresent(const std::string& folder);

  int vocab_size() const { return static_cast<int>(model_.pieces.size()); }
  std::optional<int> bos_id() const { return bos_id_; }
  std::optional<int> eos_id() const { return eos_id_; }
  const Piece& piece(int id) const { return model_.pieces[static_cast<size_t>(id)]; }
  const SentencePieceModel& model() const { return model_; }

  // Ids of `text`, after the beginning-of-text id if `add_bos` (an error if the model has none).
  // ResourceExhausted above kMaxTextBytes.
  absl::StatusOr<std::vector<int>> Encode(std::string_view text, bool add_bos) const;
  // The text of `ids`. OutOfRange names an id outside the vocabulary.
  absl::StatusOr<std::string> Decode(std::span<const int> ids) const;

  static constexpr size_t kMaxTextBytes = 16 << 20;

 private:
  Tokenizer(SentencePieceModel model, TextNormalizer normalizer);
  absl::Status Index(std::string_view origin);
  absl::Status IndexPiece(int id, std::string_view origin);
  std::optional<int> FindControl(const std::string& text) const;
  void AppendUnknown(std::string_view text, std::vector<int>& ids) const;

  SentencePieceModel model_;
  TextNormalizer normalizer_;
  LiteralMatcher literals_;
  std::unordered_map<std::string, int> ids_;       // normal, user-defined, unused; look-up only
  std::unordered_map<std::string, int> reserved_;  // the others; look-up only
  std::vector<int> byte_ids_;                      // 256 if the model has byte fallback
  int unk_id_ = 0;
  std::optional<int> bos_id_, eos_id_;
};

// What to say when text is needed and LoadIfPresent gave nothing.
absl::Status NoTokenizerError(const std::string& folder);

// Decodes a text as its tokens arrive. What Push and Finish return, put together, is what
// Tokenizer::Decode returns for all ids; each part ends with a whole character.
class StreamDecoder {
 public:
  // `tokenizer` must outlive it.
  explicit StreamDecoder(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  // The text that became certain with `id`; often "" in the middle of a character.
  absl::StatusOr<std::string> Push(int id);
  // What is left: bytes of a character that never became whole, as U+FFFD each.
  std::string Finish();

 private:
  void DrainBytes(bool all, std::string& out);
  void AppendText(std::string_view piece, std::string& out);

  const Tokenizer* tokenizer_;
  std::string pending_;       // bytes of byte pieces, not yet whole
  bool at_beginning_ = true;  // nothing printed yet: the dummy space is dropped here
};

}  // namespace lockstep
