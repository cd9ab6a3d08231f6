// Programs of third chips (runtime/compiler/relay.h).
#include "runtime/compiler/relay.h"

#include <utility>

#include "chip/check.h"

namespace lockstep {

// A word of one position in fp16 takes longer to make than to send.
Travel TravelOf(const Plan& plan, int batch, bool to_head) {
  const bool slow = batch == 1 && plan.weights == NumberFormat::kFp16;
  return {to_head && !plan.all_logits ? 1 : batch, slow ? Pace::kWords : Pace::kVectors};
}

absl::StatusOr<CompiledChip> CompileRelay(const Plan& plan, int batch, const PartShape& part,
                                          int index, const StageShape* stage,
                                          const ChipTiming& timing) {
  CompiledChip out;
  Quad scratch = kRelayWord;
  if (stage != nullptr) {
    out.layout = LayOut(plan, *stage);
    RETURN_IF_ERROR(out.layout.fits);
    scratch = out.layout.scratch.landing;
  } else {
    out.layout.use.activations = int64_t{kSlicesPerColumn} * kVectorBytes;
  }
  const Travel travel = TravelOf(plan, batch, part.to_head);
  const int words = travel.positions * plan.hidden_words();
  Placer placer(timing);
  part.relay->PlaceRelay(placer, timing, index, scratch, words, travel.pace);
  out.program = placer.Finish();
  out.spans = placer.spans();
  out.received_from = out.sent_from = -part.relay->RelayedFrom();
  out.moved_until = part.relay->RelayedFor(words, travel.pace, timing);
  return out;
}

}  // namespace lockstep
