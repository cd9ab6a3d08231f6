// Feeds, samples, streams (runtime/generate.h).
#include "runtime/generate.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <memory>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/sampler.h"

namespace lockstep {
namespace {

static_assert(std::endian::native == std::endian::little, "logits are written as they lie");

struct FreeXxh {
  void operator()(XXH64_state_t* state) const { XXH64_freeState(state); }
};

class Generator {
 public:
  Generator(const RunSetup& setup, const GenerateSinks& sinks, Sampler sampler)
      : setup_(setup),
        sinks_(sinks),
        sampler_(std::move(sampler)),
        digest_(XXH64_createState()),
        decoder_(setup.tokenizer ? &*setup.tokenizer : nullptr) {
    XXH64_reset(digest_.get(), 0);
  }

  // `failed`: a step failed in all processes, so there is nobody to let go.
  absl::Status Run(Session& session, bool* failed) {
    const std::vector<int>& prompt = setup_.prompt_ids;
    for (int id : prompt) RETURN_IF_ERROR(Show(id));
    int token = prompt.front();
    for (int position = 0; position < setup_.positions(); ++position) {
      const absl::StatusOr<std::vector<float>> logits = session.Step(token, position);
      *failed = !logits.ok();
      RETURN_IF_ERROR(logits.status());
      ++result_.steps;
      RETURN_IF_ERROR(Keep(*logits));
      if (sinks_.progress) sinks_.progress(result_.steps, setup_.positions());
      const size_t next = static_cast<size_t>(position) + 1;
      if (next < prompt.size()) {
        token = prompt[next];
        continue;
      }
      ASSIGN_OR_RETURN(token, Choose(*logits));
      if (result_.stop == StopReason::kEndOfText) break;
    }
    return absl::OkStatus();
  }

  RunResult Take() {
    if (setup_.tokenizer) Emit(decoder_.Finish());
    result_.value_digest = XXH64_digest(digest_.get());
    return std::move(result_);
  }

 private:
  absl::Status Keep(const std::vector<float>& logits) {
    if (logits.empty()) return absl::OkStatus();
    const absl::string_view bytes(reinterpret_cast<const char*>(logits.data()),
                                  logits.size() * sizeof(float));
    XXH64_update(digest_.get(), bytes.data(), bytes.size());
    return sinks_.logits == nullptr ? absl::OkStatus() : sinks_.logits->Append(bytes);
  }

  // The timing engine has no logits: any id costs the same.
  absl::StatusOr<int> Choose(const std::vector<float>& logits) {
    if (logits.empty()) return 0;
    ASSIGN_OR_RETURN(const int id, sampler_.Sample(logits));
    result_.ids.push_back(id);
    const auto& eos = setup_.eos_ids;
    if (std::find(eos.begin(), eos.end(), id) != eos.end()) result_.stop = StopReason::kEndOfText;
    else RETURN_IF_ERROR(Show(id));
    return id;
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
  Sampler sampler_;
  std::unique_ptr<XXH64_state_t, FreeXxh> digest_;
  StreamDecoder decoder_;
  int shown_ = 0;
  RunResult result_;
};

}  // namespace

absl::StatusOr<RunResult> Generate(const RunSetup& setup, Session& session,
                                   const GenerateSinks& sinks) {
  absl::StatusOr<Sampler> sampler = Sampler::Create(setup.options.Sampler());
  absl::Status status = sampler.status();
  bool failed = false;
  std::optional<Generator> generator;
  if (status.ok()) {
    generator.emplace(setup, sinks, *std::move(sampler));
    status = generator->Run(session, &failed);
  }
  if (!failed) session.End();
  RETURN_IF_ERROR(status);
  return generator->Take();
}

}  // namespace lockstep
