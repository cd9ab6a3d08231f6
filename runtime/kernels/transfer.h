#pragma once
// Hidden vectors from the chips of one node to those of another, over all cables between the two.
//
//   node a, each chip has all words       node b
//   member 0 port 7 ==== share 0 ====> member 6 port 8 --local links--> its other members
//   member 1 port 7 ==== share 1 ====> member 7 port 8 --local links--> its other members
//
// Each vector is passed on as soon as it lies in SRAM: two hops, the second one overlapped with the
// first. Values are fp32 and arrive as they are.
//
// Where chips of the two nodes have no cable in common, a share goes over third chips, which each
// receive a vector into SRAM and send it on, in cycles of the same pace; to the two nodes that is
// a cable with a longer flight:
//
//   member 0 port 7 ==== chip 12 ==== chip 13 ====> member 2 port 5
//
// Beside direct cables such ways take shares of a large transfer, too. Their vectors come later, so
// the last ones go over the direct cables alone, and the last of both come together:
//
//   direct       |=======================|        it pays where a direct cable would be busy for
//   third chips  |=================|------|       longer than vectors over third chips come later
//
// The pace is fixed, so that the receiving node's program depends on the cables alone, and not on when
// the sender's words come to stand: words are received at this pace, counted from a base that the
// sender chooses, and a vector may be sent up to Early() cycles before its time, since it then waits
// in the receive FIFO.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/latency.h"
#include "runtime/kernels/block.h"
#include "runtime/kernels/collective.h"
#include "runtime/kernels/place.h"

namespace lockstep {

// A third chip on the way between two nodes: what comes in at a port goes out at another.
struct Relay {
  uint32_t chip;  // of the fabric
  int in_port, out_port;
  int64_t arrives;  // cycles from when a vector leaves its node until it is received here
  int wait;         // cycles it lies in SRAM
  bool operator==(const Relay&) const = default;
};

// A way between two nodes, by the members of their groups: a cable, or several one after the other.
struct NodeCable {
  int from_member, from_port;
  int to_member, to_port;
  int flight_cycles;  // until it can be received, beyond one LinkPeriod()
  std::vector<Relay> relays = {};
  bool operator==(const NodeCable&) const = default;
};

// Of a third chip that has no other work: where vectors lie that it passes on.
inline constexpr Quad kRelayWord{Hemisphere::kWest, 2, 0};

// One cable of a way over third chips.
struct NodeLink {
  uint32_t from;  // chip of the fabric
  int from_port, to_port;
  int flight_cycles;
};

// The way of several cables one after the other; its flight is that of `like` and whole link
// periods, so that vectors of both keep apart in the same way; like < 0: the least.
NodeCable JoinCables(int from_member, int to_member, const std::vector<NodeLink>& links, int like,
                     const ChipTiming& timing);

// How closely words follow each other.
enum class Pace : uint8_t {
  kWords,    // one every four LinkPeriod()s, about as they are made of one position
  kVectors,  // each cable takes a vector every LinkPeriod(): many positions at once
};

// The way from a node to another, and when who does what on it.
class NodeRoute {
 public:
  static constexpr int kMostShares = 8;

  // cables: at least one; of more than four direct ones the first four are used, a plane each. Ways
  // over third chips behind a direct cable take vectors beside it. to: the receiving node's groups, by
  // member. REQUIRES: at most kMostShares with ways over third chips.
  // Errors: so many cables that no free cycles are left; ports that are not beside a western SXM.
  static absl::StatusOr<NodeRoute> Create(std::vector<NodeCable> cables,
                                          const std::vector<Group>& to, const ChipTiming& timing);

  const std::vector<NodeCable>& cables() const { return cables_; }

  // Which cable takes a plane of the index-th of `words` words, and when it leaves, after the base.
  struct Turn {
    int share;
    int64_t leaves;
  };
  Turn TurnOf(int index, int plane, int words, Pace pace, const ChipTiming& timing) const;
  // Link periods by which the last of `words` words comes earlier than over the direct cables alone;
  // 0 or less: it does not.
  int Gain(int words) const;
  static int64_t Early(const ChipTiming& timing);

  // Emits a member's part of receiving words of `target` (a western column), in this order. Members of
  // one node hold the same cycles, whichever of them a cable ends at.
  struct Moved {
    int64_t from;  // the base: cycle in which the first vector leaves the sending node
    int64_t last;  // in which this node is done
  };
  Moved PlaceReceive(Placer& placer, const ChipTiming& timing, const Group& group, Quad target,
                     const std::vector<int>& order, Pace pace) const;

  // The third chips, in the order of shares; empty: all cables are direct.
  const std::vector<uint32_t>& relay_chips() const { return relay_chips_; }
  // Emits what the index-th of relay_chips() does for `words` words, of which a few at a time lie in
  // the word `scratch`. Cycle 0 of the program is RelayedFrom() after the base. REQUIRES: scratch in
  // the column of kRelayWord; nothing placed.
  void PlaceRelay(Placer& placer, const ChipTiming& timing, int index, Quad scratch, int words,
                  Pace pace) const;
  int64_t RelayedFrom() const;
  // Cycles from there until the last third chip has sent the last of them.
  int64_t RelayedFor(int words, Pace pace, const ChipTiming& timing) const;

  // What decides member `self`'s part, and nothing else: programs with equal pictures are equal.
  std::string SendPicture(int self) const;
  std::string ReceivePicture(int self) const;
  std::string RelayPicture(int index) const;

 private:
  // The index-th of relay_chips().
  struct Relayed {
    int share;
    const Relay& relay;
  };
  Relayed RelayAt(int index) const;
  // Cycles of share `c` after a vector leaves: received by the gateway, sent on, received by the
  // others, in SRAM everywhere.
  struct Times {
    int64_t gateway, forward, spread, done;
  };
  Times TimesOf(int share, int column_position, const ChipTiming& timing) const;
  bool Clashes(const std::vector<Group>& to, const ChipTiming& timing) const;
  // Link periods in which a transfer of so many vectors leaves, paced by the cables.
  int PeriodsOf(int vectors) const;
  void ReceiveVector(Block& b, const ChipTiming& timing, const Group& group, int slice, int address,
                     const Turn& turn) const;

  std::vector<NodeCable> cables_;
  std::vector<uint32_t> relay_chips_;
  int direct_ = 0;  // shares that take vectors to the end
  int later_ = 0;   // link periods by which the others' come later
  int local_flight_ = 0;
  int wait_ = 1;   // cycles a vector lies in the gateway's SRAM
  int delay_ = 0;  // of receives behind arrivals, of what gateways pass on
};

// Sends words of a column over a route while they are made, as member `self`.
class WordSender {
 public:
  // order: in which words leave. base: as NodeRoute has it.
  WordSender(Placer& placer, const ChipTiming& timing, const NodeRoute& route, int self, Quad source,
             std::vector<int> order, Pace pace, int64_t base);

  // Word `word` is emitted; sends what can go in order.
  void Add(int word);
  // Cycles by which the latest vector left behind its time; then the base was too early.
  int64_t late() const { return late_; }
  NodeRoute::Moved moved() const;

 private:
  void Send(int index, int plane);

  Placer& placer_;
  const ChipTiming& timing_;
  const NodeRoute& route_;
  const int self_;
  const Quad source_;
  const std::vector<int> order_;
  const Pace pace_;
  const int64_t base_;
  std::vector<bool> added_;
  int sent_ = 0;                     // words, in order
  std::array<int64_t, NodeRoute::kMostShares> free_{};  // by cable: when it takes the next vector
  int64_t late_ = 0;
};

}  // namespace lockstep
