#pragma once
// Collectives of a fully connected group as compiled schedules: every chip runs the same
// instructions in the same cycles, on links and at addresses of its own.

#include <optional>
#include <vector>

#include "chip/latency.h"
#include "runtime/kernels/block.h"
#include "runtime/kernels/place.h"

namespace lockstep {

// The group as one of its members sees it.
struct Group {
  int size = 1;
  int self = 0;
  std::vector<int> port;  // by member: this chip's link to it; -1 for itself
  int flight_cycles = 0;  // of every link
};

class Collectives {
 public:
  Collectives(const ChipTiming& timing, Placer& placer, const Group& group)
      : timing(timing), placer(placer), group(group) {}

  // sum[w] = part[w] of member 0 + part[w] of member 1 + ... in this order, on every member, for
  // `words` fp32 vectors; plus base[w] in the end if `add_base`. Each member sends all its vectors
  // to all others and adds them itself, word by word: one hop, and a word can go while the next one
  // is still being made. landing: words * size vectors in a western column west of `part`'s.
  void AllReduceDirect(Quad part, Quad landing, int words, Quad base, bool add_base, Quad sum);
  // The same with parts rounded to fp16, in half the time of the links; `half` holds them.
  void AllReduceDirect16(Quad part, Pair half, Pair landing, int words, Quad base, bool add_base,
                         Quad sum);

  // The exchange alone: landing[w * size + m] = part[w] of member m.
  void AllGather(Quad part, Quad landing, int words);

  // Sums of `size` words at once, in the order and to the bits of AllReduceDirect16, with less to send
  // and one hop more (reduce-scatter and all-gather): member m adds word m and tells the sum.
  // half = part, rounded.
  void Round(Quad part, Pair half);
  // half[m] goes to member m, which has it in landing[its sender];
  void ScatterToOwners(Pair half, Pair landing);
  // the sum of landing's goes to all: sums[m] = that of member m. Both lie in western columns, other
  // words for each;
  void GatherFromOwners(Pair landing, Quad sums);
  // vectors to, to + stride, .. (`words` of them) = sums[first], .., or those are added to them.
  void AddFromOwners(Quad sums, int first, int words, Quad to, int stride, bool add);

 private:
  const ChipTiming& timing;
  Placer& placer;
  const Group& group;

  // `planes` slices of a column, from `plane` on, that hold a vector.
  struct Planes {
    Quad at;
    int plane, planes;
  };
  // Who gets which vector of `from`, and whether the member's own goes to `to`, too.
  enum class Sends : uint8_t { kOneToAll, kOneToAllButSelf, kOneToEach };
  void Exchange(const char* name, const Planes& from, const Planes& to, Sends sends);
  static Planes PlanesOf(Pair p) { return {{p.side, p.column, p.address}, p.plane, 2}; }
  // sum = a vector of each member, in their order, plus base.
  Block Reduce(const Planes& parts, const std::optional<Quad>& base, Quad sum) const;
  // A vector of each member: the block has the same cycles on all of them.
  void AsOne(Block& block, const Planes& area) const;
  void PlaceInStep(const Block& block, int period);
  int ReceiveOffset(int period, int own_hops, int least) const;
  int OwnDelay(int period, int own_hops, int receive) const;
};

// Cycles between vectors on one link, whole cycles at or above the serialisation.
int LinkPeriod(const ChipTiming& timing);

}  // namespace lockstep
