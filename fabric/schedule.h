#pragma once
// FabricSchedule: which vector leaves on which link in which cycle, and when it is received.
//
//   chips' link operations + Wiring --Create (the verifier)--> FabricSchedule
//
//   send        |s0   |s1   |s2          on (chip, link), a progression of cycles
//   arrival        |a0   |a1   |a2       s + ceil(ticks / 125) + flight
//   receive         |r0   |r1   |r2      at the far end, in the order of the sends: r >= a
//
// Vectors carry no address: the k-th vector sent over a wire is the k-th one received there. Runs
// of sends and receives are matched run by run; arrival, order and FIFO depth are linear along a
// pair of runs, so their ends decide and nothing is stepped vector by vector.
//
// Rules (docs/machine.md, C2C): a link slot is used once; both ends are cabled; every send is
// received and every receive has a vector that has arrived; the FIFO never overflows; a receive's
// word is in its slice; no slice takes two receives in one cycle; SRAM is not over-allocated.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chip/progression.h"
#include "fabric/wiring.h"

namespace lockstep {

enum class LinkOp : uint8_t { kSend, kReceive, kTransmit };

// A run of one operation on a link end of a chip.
struct LinkOperation {
  LinkOp op = LinkOp::kSend;
  int link = 0;
  Progression cycles;  // dispatch
  int slice = 0, address = 0, stride = 0;  // of receives: word address + i * stride of the slice
  bool operator==(const LinkOperation&) const = default;
};

struct ChipOperations {
  std::vector<LinkOperation> operations;  // those of one link in the order of their cycles
  int64_t sram_bytes = 0;                 // allocated
};

// Vectors that go over one wire as one run of sends and one of receives.
struct Transfer {
  int32_t wire = 0;  // of Wiring::wires()
  Progression sent, received;
  int slice = 0, address = 0, stride = 0;
  bool operator==(const Transfer&) const = default;
};

struct LinkUse {
  int32_t wire = 0;
  int64_t vectors = 0;
  int64_t busy_ticks = 0;    // 1/125 cycle, notices of TRANSMIT included
  int64_t last_arrival = 0;  // cycle; 0 if nothing was sent
  bool operator==(const LinkUse&) const = default;
};

// Operations of one program of a chip, in its own cycles, and the cycle in which it starts.
struct PlacedOperations {
  std::shared_ptr<const ChipOperations> operations;
  int64_t start = 0;
};
using ChipPrograms = std::vector<PlacedOperations>;  // each begins after the one before

class FabricSchedule {
 public:
  // chips[i] belongs to chip i; chips in one role may share operations. Errors: InvalidArgument that names
  // rule, chip, link and cycle of the first rule broken, by chip, then link, then cycle.
  // REQUIRES: chips.size() == wiring.chips(), no null, links 0..15, counts and periods > 0.
  static absl::StatusOr<FabricSchedule> Create(
      const Wiring& wiring, int receive_fifo,
      absl::Span<const ChipPrograms> chips);

  absl::Span<const Transfer> transfers() const { return transfers_; }  // by wire, then cycle
  absl::Span<const LinkUse> links() const { return links_; }           // by wire
  int64_t vectors() const { return vectors_; }
  int64_t last_arrival() const { return last_arrival_; }
  // Share of all link slots used in the first `cycles` cycles, in 1/1000000.
  int64_t UtilisationPpm(int64_t cycles) const;

  bool operator==(const FabricSchedule&) const = default;
  std::string ToString() const;  // `91756 vectors over 56 links, last arrival @3210`

 private:
  FabricSchedule() = default;

  std::vector<Transfer> transfers_;
  std::vector<LinkUse> links_;
  int64_t vectors_ = 0, last_arrival_ = 0;
};

}  // namespace lockstep
