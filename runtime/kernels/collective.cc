// Emission of collectives (runtime/kernels/collective.h).
#include "runtime/kernels/collective.h"

#include <algorithm>

#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "runtime/kernels/chain.h"

namespace lockstep {
namespace {
constexpr int kLocalPorts = 8;
// Westward, as links 0..7 stand beside the western SXM. Not one of the first, which chains take.
constexpr int kSendStream = 31;

// How many of the group's ports come before `port`. Receives are staggered by it and not by the
// port itself: in a part of a node members use different ports, and still take the same cycles.
int PortOrder(const Group& group, int port) {
  int before = 0;
  for (int p : group.port) before += p >= 0 && p < port;
  return before;
}
}  // namespace

int LinkPeriod(const ChipTiming& timing) {
  return CeilDiv(timing.link_ticks, static_cast<int>(kTicksPerCycle));
}

// How long receives wait beyond the arrival, so that none shares a cycle with a send (both are the
// link's one queue) or with the member's own vectors entering the landing slices.
int Collectives::ReceiveOffset(int period, int own_hops) const {
  const int store = timing.d_func[static_cast<int>(Opcode::kReceive)] + timing.receive_turnaround;
  const auto clashes = [&](int offset) {
    for (int port = 0; port < kLocalPorts; ++port) {
      const int receive = group.flight_cycles + offset + port;
      if (receive % period == 0 || (receive + store + own_hops) % period == 0) return true;
    }
    return false;
  };
  for (int offset = 0; offset < period; ++offset) {
    if (!clashes(offset)) return offset;
  }
  LOCKSTEP_FAIL("no free receive cycle in a link period of %d", period);
  return 0;
}

void Collectives::GatherWord(const Planes& part, const Planes& landing) {
  const int stream = StreamNumber(Direction::kWest, kSendStream);
  const int period = LinkPeriod(timing);
  const int d_read = timing.d_func[static_cast<int>(Opcode::kRead)];
  const Quad from = part.at, to = landing.at;
  const int own_hops = Hops(SlicePosition(ColumnSlice(to.side, to.column, 0)), kSxmWest);
  const int64_t wait = period + group.flight_cycles + ReceiveOffset(period, own_hops);

  Block b("all-gather");
  for (int k = 0; k < part.planes; ++k) {
    const int64_t send = int64_t{k} * period;
    const int source = ColumnSlice(from.side, from.column, part.plane + k);
    b.At(MemQueue(source), ops::Read(from.address, 0, stream),
         send - Hops(SlicePosition(source), kSxmWest) - d_read);
    const int target = ColumnSlice(to.side, to.column, landing.plane + k);
    b.At(MemQueue(target), ops::Write(to.address + group.self, 0, stream),
         send - Hops(SlicePosition(target), kSxmWest));
    for (int m = 0; m < group.size; ++m) {
      const int port = group.port[m];
      if (port < 0) continue;
      LOCKSTEP_CHECK(port < kLocalPorts, "port %d is not beside the western SXM", port);
      b.At(C2cQueue(port), ops::Send(stream), send);
      b.At(C2cQueue(port), ops::Receive(target, to.address + m, 0),
           send + wait + PortOrder(group, port));
    }
  }
  // Links carry vectors in order, `period` apart; what follows comes after both.
  const int64_t last = int64_t{part.planes} * period - 1;
  b.HoldFor(HoldIndex(Hold::kSends, Hemisphere::kWest), 0, last);
  b.HoldFor(HoldIndex(Hold::kReceives, Hemisphere::kWest), wait, wait + last);
  PlaceInStep(b, period);
}

// Words that are under way together keep one phase, so that their sends and receives, and the sums
// that read what came, never meet.
void Collectives::PlaceInStep(const Block& block, int period) {
  int64_t at = 0;
  for (;;) {
    at = (placer.Find(block, at) + period - 1) / period * period;
    if (placer.Find(block, at) == at) break;
  }
  placer.Place(block, at);
}

void Collectives::AllGather(Quad part, Quad landing, int words) {
  for (int w = 0; w < words; ++w) {
    GatherWord({part + w, 0, 4}, {landing + w * group.size, 0, 4});
  }
}

void Collectives::AllReduceDirect(Quad part, Quad landing, int words, Quad base, bool add_base,
                                  Quad sum) {
  for (int w = 0; w < words; ++w) {
    if (group.size > 1) AllGather(part + w, landing + w * group.size, 1);
    Chain c(timing, "reduce", group.size, AccumulatePeriod(timing, Opcode::kAdd), Chain::Ends::kLast);
    const Quad source = group.size > 1 ? landing + w * group.size : part + w;
    Chain::Value v = c.Accumulate(Opcode::kAdd, c.Load(source));
    if (add_base) v = c.Op(Opcode::kAdd, v, c.Load(base + w));
    c.Store(v, sum + w);
    placer.Place(c.Build());
  }
}

void Collectives::AllReduceDirect16(Quad part, Pair half, Pair landing, int words, Quad base,
                                    bool add_base, Quad sum) {
  if (group.size == 1) return AllReduceDirect(part, {}, words, base, add_base, sum);
  for (int w = 0; w < words; ++w) {
    Chain round(timing, "to half", 1);
    round.Store16(round.To16(round.Load(part + w)), half + w);
    placer.Place(round.Build());
    const Pair from = half + w, to = landing + w * group.size;
    GatherWord({{from.side, from.column, from.address}, from.plane, 2},
               {{to.side, to.column, to.address}, to.plane, 2});
    Chain c(timing, "reduce", group.size, AccumulatePeriod(timing, Opcode::kAdd), Chain::Ends::kLast);
    Chain::Value v = c.Accumulate(Opcode::kAdd, c.To32(c.Load16(to)));
    if (add_base) v = c.Op(Opcode::kAdd, v, c.Load(base + w));
    c.Store(v, sum + w);
    placer.Place(c.Build());
  }
}

}  // namespace lockstep
