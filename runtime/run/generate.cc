// Feeds, samples, streams (runtime/run/generate.h).
#include "runtime/run/generate.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <span>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/model/sampler.h"

namespace lockstep {
namespace {

static_assert(std::endian::native == std::endian::little, "logits are written as they lie");

struct FreeXxh {
  void operator()(XXH64_state_t* state) const { XXH64_freeState(state); }
};

class Generator {
 public:
  Generator(const RunSetup& setup, const GenerateSinks& sinks, std::vector<Sampler> samplers)
      : setup_(setup),
        sinks_(sinks),
        samplers_(std::move(samplers)),
        texts_(samplers_.size()),
        digest_(XXH64_createState()),
        decoder_(setup.tokenizer ? &*setup.tokenizer : nullptr) {
    XXH64_reset(digest_.get(), 0);
  }

  // `failed`: a step failed in all processes, so there is nobody to let go.
  absl::Status Run(Session& session, bool* failed) {
    const std::vector<int>& prompt = setup_.prompt_ids;
    for (int id : prompt) RETURN_IF_ERROR(Show(id));
    const size_t row = texts_.size() * session.plan().model.vocab_size;
    for (int position = 0; position < setup_.positions();) {
      const std::vector<FedToken> fed = Next(position, session.plan().prompt_positions());
      const bool batch = fed.size() > texts_.size();
      const absl::StatusOr<std::vector<float>> logits = session.Step(fed);
      *failed = !logits.ok();
      RETURN_IF_ERROR(logits.status());
      ++(batch ? result_.batches : result_.steps);
      position += static_cast<int>(fed.size() / texts_.size());
      const bool generates = static_cast<size_t>(position) >= prompt.size() && !logits->empty();
      const std::span<const float> last = std::span(*logits).last(logits->empty() ? 0 : row);
      RETURN_IF_ERROR(Keep(*logits, generates ? last : std::span<const float>{}));
      if (sinks_.progress) sinks_.progress(position, setup_.positions());
      if (!generates) continue;
      RETURN_IF_ERROR(Choose(last));
      if (std::all_of(texts_.begin(), texts_.end(), [](const Text& t) { return t.ended; })) break;
    }
    return absl::OkStatus();
  }

  RunResult Take() {
    if (setup_.tokenizer) Emit(decoder_.Finish());
    for (Text& text : texts_) result_.all_ids.push_back(std::move(text.ids));
    result_.ids = result_.all_ids.front();
    if (texts_.front().ended) result_.stop = StopReason::kEndOfText;
    result_.value_digest = XXH64_digest(digest_.get());
    return std::move(result_);
  }

 private:
  // sampled: of the logits, those of which an id is chosen.
  absl::Status Keep(const std::vector<float>& logits, std::span<const float> sampled) {
    XXH64_update(digest_.get(), sampled.data(), sampled.size_bytes());
    if (sinks_.logits == nullptr || logits.empty()) return absl::OkStatus();
    return sinks_.logits->Append(absl::string_view(reinterpret_cast<const char*>(logits.data()),
                                                   logits.size() * sizeof(float)));
  }

  struct Text {
    std::vector<int> ids;  // generated
    bool ended =
        false;  // by an end-of-text id; then that is fed on, since the others need the step
  };

  // What a text is fed at a position. The timing engine has no logits: any id costs the same.
  int Token(int position, const Text& text) const {
    const std::vector<int>& prompt = setup_.prompt_ids;
    if (static_cast<size_t>(position) < prompt.size()) return prompt[position];
    return text.ids.empty() ? 0 : text.ids.back();
  }

  // Of each text a batch of the prompt as long as it fills one, else a token.
  std::vector<FedToken> Next(int position, int batch) const {
    std::vector<FedToken> fed;
    const bool fills = position + batch <= static_cast<int>(setup_.prompt_ids.size());
    for (const Text& text : texts_) {
      for (int i = 0; i < (fills ? batch : 1); ++i) {
        fed.push_back({Token(position + i, text), position + i});
      }
    }
    return fed;
  }

  absl::Status Choose(std::span<const float> logits) {
    const size_t vocabulary = logits.size() / texts_.size();
    for (size_t i = 0; i < texts_.size(); ++i) {
      if (texts_[i].ended) continue;
      const std::span<const float> mine(logits.data() + i * vocabulary, vocabulary);
      ASSIGN_OR_RETURN(const int id, samplers_[i].Sample(mine));
      texts_[i].ids.push_back(id);
      const auto& eos = setup_.eos_ids;
      texts_[i].ended = std::find(eos.begin(), eos.end(), id) != eos.end();
      if (i == 0 && !texts_[i].ended) RETURN_IF_ERROR(Show(id));
    }
    return absl::OkStatus();
  }

  absl::Status Show(int id) {
    if (!setup_.tokenizer) {
      Emit(absl::StrCat(shown_++ == 0 ? "" : " ", id));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::string text, decoder_.Push(id));
    Emit(text);
    return absl::OkStatus();
  }

  void Emit(const std::string& text) {
    if (setup_.tokenizer) result_.text += text;
    if (sinks_.text && !text.empty()) sinks_.text(text);
  }

  const RunSetup& setup_;
  const GenerateSinks& sinks_;
  std::vector<Sampler> samplers_;  // by sequence
  std::vector<Text> texts_;
  std::unique_ptr<XXH64_state_t, FreeXxh> digest_;
  StreamDecoder decoder_;
  int shown_ = 0;
  RunResult result_;
};

// One a sequence, each with a seed of its own.
absl::StatusOr<std::vector<Sampler>> MakeSamplers(SamplerOptions options, int count) {
  std::vector<Sampler> samplers;
  for (int i = 0; i < count; ++i, ++options.seed) {
    ASSIGN_OR_RETURN(Sampler sampler, Sampler::Create(options));
    samplers.push_back(std::move(sampler));
  }
  return samplers;
}

}  // namespace

absl::StatusOr<RunResult> Generate(const RunSetup& setup, Session& session,
                                   const GenerateSinks& sinks) {
  absl::StatusOr<std::vector<Sampler>> samplers =
      MakeSamplers(setup.options.Sampler(), session.plan().sequences);
  absl::Status status = samplers.status();
  bool failed = false;
  std::optional<Generator> generator;
  if (status.ok()) {
    generator.emplace(setup, sinks, *std::move(samplers));
    status = generator->Run(session, &failed);
  }
  if (!failed) session.End();
  RETURN_IF_ERROR(status);
  return generator->Take();
}

}  // namespace lockstep
