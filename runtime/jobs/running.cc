// Small decisions about a job at work (runtime/jobs/running.h).
#include "runtime/jobs/running.h"

#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {

constexpr double kStep = 0.02;  // of the whole
constexpr auto kPause = std::chrono::seconds(2);

}  // namespace

void ProgressTeller::Take(int done, int of, double seconds) {
  now_.set_done(done);
  now_.set_of(of);
  now_.set_fraction(of == 0 ? 1.0 : static_cast<double>(done) / of);
  now_.clear_remaining_seconds();
  if (done > 0) now_.set_remaining_seconds(seconds / done * (of - done));
  fresh_ = true;
}

const v1::Progress* ProgressTeller::ToTell(bool all) const {
  const bool due = now_.fraction() >= told_fraction_ + kStep ||
                   std::chrono::steady_clock::now() - told_ >= kPause;
  return fresh_ && (all || due) ? &now_ : nullptr;
}

void ProgressTeller::Told() {
  if (ToTell(false) == nullptr) return;
  fresh_ = false;
  told_fraction_ = now_.fraction();
  told_ = std::chrono::steady_clock::now();
}

std::optional<v1::Failure> Runner::Running::Judge() const {
  std::optional<v1::Failure> failure = attempt->Judge();
  if (!failure && text.size() >= published.size() && !diverged) return failure;
  if (diverged || !failure) {
    failure.emplace();
    failure->set_reason(v1::Failure::DIVERGED);
    failure->set_message(absl::StrCat("attempt ", job.attempt(),
                                      " gave other text than an earlier one"));
  } else if (too_loud) {
    failure->set_reason(v1::Failure::OUTPUT_LIMIT);
    failure->set_message(absl::StrCat("wrote ", attempt->output_bytes(), " bytes of output"));
    failure->set_transient(false);
  }
  return failure;
}

}  // namespace lockstep
