#pragma once
// Words that move between chips and are added there, as a graph, and its schedule: when each plane
// of each word is read, sent, received and added, on chips that do nothing else.
//
//   Input --Move--> value --Move--> value
//                        \.
//   Input ----------------Sum------> value            a value: an fp32 vector on one chip
//
// Steps are scheduled as their operands come to stand, each in the first cycle in which what it
// needs is free: links back to back (chip/link_serialiser.h), MEM banks and ports, three adders of
// the VXM. The same graph gives the same programs on every host.
//
// `Roles` may stand for more chips than it has: where a topology maps to itself (fabric/hops.h) all
// chips in one role run one program, and a link leads to a role.

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chip/latency.h"
#include "chip/program.h"
#include "fabric/wiring.h"
#include "runtime/kernels/place.h"

namespace lockstep {

// Where the link of a port leads; role -1: no cable.
struct RoleEnd {
  int32_t role = -1;
  int32_t port = 0;
  int32_t flight_cycles = 0;
};
using Roles = std::vector<std::array<RoleEnd, kLinksPerChip>>;

class Exchange {
 public:
  using ValueId = int32_t;

  explicit Exchange(const Roles& roles) : roles_(roles) {}  // outlives this

  // A word that stands on a chip before the program begins.
  ValueId Input(int role, Quad at);
  // The value over the link of `port` into word `at` of the chip at its far end.
  // REQUIRES: the port is cabled.
  ValueId Move(ValueId value, int port, Quad at);
  // values[0] + values[1] + ..., fp32, in this order, into word `at`; of one value: its copy.
  // REQUIRES: all on one chip, `at` in the eastern hemisphere.
  ValueId Sum(absl::Span<const ValueId> values, Quad at);

  int64_t moves() const { return moves_; }
  int role_of(ValueId value) const { return values_[value].role; }

  struct Result {
    std::vector<Program> programs;  // by role
    int64_t cycles = 0;             // until the last word stands in SRAM
  };
  Result Schedule(const ChipTiming& timing) const;

 private:
  friend class ExchangeScheduler;
  struct Value {
    int32_t role;
    Quad at;
  };
  struct Step {
    int32_t port;  // -1: a sum
    ValueId out;
    int32_t first_in, inputs;  // of operands_
  };

  const Roles& roles_;
  std::vector<Value> values_;
  std::vector<Step> steps_;
  std::vector<ValueId> operands_;
  int64_t moves_ = 0;
};

}  // namespace lockstep
