#pragma once
// The hidden vector from the chips of one node to those of another, over all cables between the
// two.
//
//   node a, each chip has all words       node b
//   member 0 port 7 ==== share 0 ====> member 6 port 8 --local links--> its other members
//   member 1 port 7 ==== share 1 ====> member 7 port 8 --local links--> its other members
//
// Share c of n takes words c, c + n, ... A vector leaves every LinkPeriod() cycles on each cable
// and is passed on as soon as it lies in SRAM: two hops, the second one overlapped with the first.
// Values are fp32 and arrive as they are.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/latency.h"
#include "runtime/kernels/block.h"
#include "runtime/kernels/collective.h"
#include "runtime/kernels/place.h"

namespace lockstep {

// A cable between two nodes, by the members of their groups.
struct NodeCable {
  int from_member, from_port;
  int to_member, to_port;
  int flight_cycles;
  bool operator==(const NodeCable&) const = default;
};

// The way from a node to another, and when who does what on it.
class NodeRoute {
 public:
  // cables: at least one; share c takes the c-th. to: the receiving node's groups, by member.
  // Errors: so many cables that no free cycles are left; ports that are not beside a western SXM.
  static absl::StatusOr<NodeRoute> Create(std::vector<NodeCable> cables,
                                          const std::vector<Group>& to, const ChipTiming& timing);

  const std::vector<NodeCable>& cables() const { return cables_; }

  // Emits `self`'s part of sending `words` vectors from `source`, or of receiving them in `target`
  // (western columns). Members of one node hold their whole chip in the same cycles.
  struct Moved {
    int64_t from;  // cycle in which the first vector leaves the sending node
    int64_t last;  // in which this node is done
  };
  Moved PlaceSend(Placer& placer, const ChipTiming& timing, int self, Quad source, int words) const;
  Moved PlaceReceive(Placer& placer, const ChipTiming& timing, const Group& group, Quad target,
                     int words) const;

  // What decides member `self`'s part, and nothing else: programs with equal pictures are equal.
  std::string SendPicture(int self) const;
  std::string ReceivePicture(int self) const;

 private:
  // Cycles of share `c` after its first vector leaves: received by the gateway, sent on, received
  // by the others, in SRAM everywhere.
  struct Times {
    int64_t gateway, forward, spread, done;
  };
  Times TimesOf(int share, int column_position, const ChipTiming& timing) const;
  bool Clashes(const std::vector<Group>& to, const ChipTiming& timing) const;

  std::vector<NodeCable> cables_;
  int local_flight_ = 0;
  int wait_ = 1;   // cycles a vector lies in the gateway's SRAM
  int delay_ = 0;  // of receives behind arrivals, of what gateways pass on
};

}  // namespace lockstep
