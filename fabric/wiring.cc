// Validation and the two look-up tables of Wiring.
#include "fabric/wiring.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "fabric/link_model.h"

namespace lockstep {
namespace {

std::string Name(const Wire& w) {
  return absl::StrCat("chip", w.from_chip, " link", w.from_link, " -> chip", w.to_chip, " link",
                      w.to_link);
}

}  // namespace

absl::StatusOr<Wiring> Wiring::Create(uint32_t chips, std::vector<Wire> wires,
                                      int64_t vector_ticks) {
  if (chips == 0) return absl::InvalidArgumentError("a wiring needs at least one chip");
  if (vector_ticks < 1) {
    return absl::InvalidArgumentError(absl::StrCat("a vector takes ", vector_ticks, " ticks"));
  }
  Wiring w;
  w.chips_ = chips;
  w.vector_ticks_ = vector_ticks;
  w.wires_ = std::move(wires);
  w.out_.assign(size_t{chips} * kLinksPerChip, -1);
  w.in_.assign(size_t{chips} * kLinksPerChip, -1);
  for (size_t i = 0; i < w.wires_.size(); ++i) {
    const Wire& wire = w.wires_[i];
    if (wire.from_chip >= chips || wire.to_chip >= chips || wire.from_link >= kLinksPerChip ||
        wire.to_link >= kLinksPerChip || wire.flight_cycles < 0) {
      return absl::InvalidArgumentError(absl::StrCat("out of range: ", Name(wire), ", flight ",
                                                     wire.flight_cycles, ", of ", chips,
                                                     " chips"));
    }
    int32_t& out = w.out_[size_t{wire.from_chip} * kLinksPerChip + wire.from_link];
    int32_t& in = w.in_[size_t{wire.to_chip} * kLinksPerChip + wire.to_link];
    if (out >= 0 || in >= 0) {
      return absl::InvalidArgumentError(absl::StrCat("second wire on one link end: ", Name(wire)));
    }
    out = in = static_cast<int32_t>(i);
  }
  for (const Wire& wire : w.wires_) {
    const int32_t back = w.outgoing(wire.to_chip, wire.to_link);
    if (back < 0 || w.wires_[back].to_chip != wire.from_chip ||
        w.wires_[back].to_link != wire.from_link) {
      return absl::InvalidArgumentError(
          absl::StrCat("a cable has two directions, this one lacks its opposite: ", Name(wire)));
    }
  }
  return w;
}

int64_t Wiring::ArrivalCycle(int32_t wire, int64_t start_ticks) const {
  return LinkModel::ArrivalAfter(start_ticks, vector_ticks_, wires_[wire].flight_cycles);
}

}  // namespace lockstep
