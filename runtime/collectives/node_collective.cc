// Weaving of collectives (runtime/collectives/node_collective.h).
#include "runtime/collectives/node_collective.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "runtime/kernels/weave.h"

namespace lockstep {
namespace {

using Access = Weave::Access;

constexpr int kDataColumns = 10;    // of a hemisphere; the eleventh is a buffer
constexpr int kLandingWords = 256;  // a bank: a ring of 512 words
constexpr int64_t kWordBytes = 4 * kVectorBytes;
constexpr int64_t kOrigin = 64;  // slot 0: reads and hops before it fit
constexpr int kLinkStream = 0, kPartStream = 0, kSumStream = 4, kCopyStream = 8;

Quad Word(Hemisphere side, int word) {
  return {side, word / kWordsPerSlice, word % kWordsPerSlice};
}
Quad ShardWord(int word) { return {Hemisphere::kEast, kDataColumns, word}; }

class Compiler {
 public:
  Compiler(CollectiveKind kind, const CollectiveProgram& shape, const Group& group,
           const ChipTiming& timing, Phases phases)
      : kind_(kind),
        shape_(shape),
        group_(group),
        timing_(timing),
        phases_(phases),
        d_read_(timing.d_func[static_cast<int>(Opcode::kRead)]),
        store_(timing.d_func[static_cast<int>(Opcode::kReceive)] + timing.receive_turnaround) {
    ChooseDelays();
  }

  Program Compile() {
    const bool reduces =
        kind_ == CollectiveKind::kAllReduce || kind_ == CollectiveKind::kReduceScatter;
    if (kind_ != CollectiveKind::kAllGather) Scatter();
    const bool gathers = !shape_.direct && kind_ != CollectiveKind::kReduceScatter &&
                         kind_ != CollectiveKind::kAllToAll;
    if (gathers) Gather(kind_ == CollectiveKind::kAllGather ? 0 : FirstGatherSlot());
    for (int w = 0; reduces && w < shape_.shard; ++w) Reduce(w);
    CopyOwn();
    return weave_.Finish();
  }

 private:
  int64_t Slot(int64_t i) const { return kOrigin + i * LinkPeriod(timing_); }
  int To(int d) const { return (group_.self + d) % group_.size; }
  int From(int d) const { return (group_.self + group_.size - d) % group_.size; }
  int slots() const { return 4 * shape_.shard; }
  // From slot to receive, for the member at distance d.
  int64_t ReceiveLag(int d) const {
    return d - 1 + LinkPeriod(timing_) + group_.flight_cycles + delay_[d];
  }

  // Receives share their link's queue with sends and must not meet in one slice.
  void ChooseDelays() {
    delay_.assign(group_.size, 0);
    for (int d = 1; d < group_.size; ++d) {
      while (Clashes(d)) ++delay_[d];
      LOCKSTEP_CHECK(delay_[d] < 2 * LinkPeriod(timing_), "delay %d", delay_[d]);
    }
  }
  bool Clashes(int d) const {
    for (int e = 1; e < d; ++e) {
      if (ReceiveLag(e) == ReceiveLag(d)) return true;
    }
    const int64_t back = group_.size - d - 1;
    return (ReceiveLag(d) - back) % LinkPeriod(timing_) == 0;
  }

  void Send(int64_t slot, int d, Quad from, int plane) {
    const int slice = ColumnSlice(from.side, from.column, plane);
    const int port = group_.port[To(d)], position = C2cPosition(port);
    const Direction way = position == kSxmWest ? Direction::kWest : Direction::kEast;
    const int stream = StreamNumber(way, kLinkStream + (way == Direction::kEast ? 31 : 0));
    const int64_t cycle = Slot(slot) + d - 1;
    const int64_t read = cycle - Hops(SlicePosition(slice), position) - d_read_;
    weave_.Take(slice, Access::kRead, from.address, read);
    weave_.At(MemQueue(slice), ops::Read(from.address, 0, stream), read);
    weave_.At(C2cQueue(port), ops::Send(stream), cycle);
  }
  void Receive(int64_t slot, int d, Quad to, int plane) {
    const int slice = ColumnSlice(to.side, to.column, plane);
    const int64_t cycle = Slot(slot) + ReceiveLag(d);
    weave_.Take(slice, Access::kReceived, to.address, cycle + store_);
    weave_.At(C2cQueue(group_.port[From(d)]), ops::Receive(slice, to.address, 0), cycle);
  }

  Quad Landing(int word, int member) const {
    const int place = word / 2 % kLandingWords * group_.size + member;
    return {Hemisphere::kWest, kDataColumns, word % 2 * kWordsPerBank + place};
  }

  void Scatter() {
    const int n = group_.size;
    const bool from_root = kind_ == CollectiveKind::kBroadcast;
    for (int i = 0; i < slots(); ++i) {
      const int w = i / 4, k = i % 4;
      for (int d = 1; d < n; ++d) {
        const int block = shape_.direct ? 0 : To(d) * shape_.shard;
        if (!from_root || group_.self == 0) Send(i, d, CollectiveInput(block + w), k);
        if (from_root && From(d) != 0) continue;
        const int mine = From(d) * shape_.shard + w;
        Receive(i, d,
                from_root                            ? ShardWord(w)
                : kind_ == CollectiveKind::kAllToAll ? CollectiveOutput(mine)
                                                     : Landing(w, From(d)),
                k);
      }
    }
  }

  // The same for all members: a word's sum stands well before its slot, whoever sums.
  int64_t FirstGatherSlot() const {
    const int period = timing_.d_func[static_cast<int>(Opcode::kAdd)];
    int64_t lag = 0;
    for (int d = 1; d < group_.size; ++d) lag = std::max(lag, ReceiveLag(d));
    int64_t ready = Slot(3) + lag + store_ + period * group_.size + 3 * kPositions + kSlack;
    if (phases_ == Phases::kSeparate) ready = std::max(ready, Slot(slots() - 1) + lag + store_);
    int64_t slot = slots();
    while (Slot(slot) < ready) ++slot;
    return slot;
  }

  void Gather(int64_t first) {
    gather_ = first;
    const bool from_input = kind_ == CollectiveKind::kAllGather;
    const bool root = kind_ == CollectiveKind::kBroadcast && group_.self == 0;
    for (int i = 0; i < slots(); ++i) {
      const int w = i / 4, k = i % 4;
      for (int d = 1; d < group_.size; ++d) {
        Send(first + i, d, from_input || root ? CollectiveInput(w) : ShardWord(w), k);
        Receive(first + i, d, CollectiveOutput(From(d) * shape_.shard + w), k);
      }
    }
  }

  // --- sums: member m's vector is at the VXM in cycle at + m * period ---------------------------
  struct Use {
    int slice;
    Access access;
    int address;
    int64_t cycle;
  };
  void UseQuad(std::vector<Use>& uses, Quad q, Access access, int64_t at_vxm) const {
    for (int k = 0; k < 4; ++k) {
      const int slice = ColumnSlice(q.side, q.column, k), hops = Hops(SlicePosition(slice), kVxm);
      const int64_t cycle = access == Access::kRead ? at_vxm - hops - d_read_ : at_vxm + hops;
      uses.push_back({slice, access, q.address, cycle});
    }
  }
  bool AllFree(const std::vector<Use>& uses) const {
    return std::all_of(uses.begin(), uses.end(), [&](const Use& u) {
      return weave_.Free(u.slice, u.access, u.address, u.cycle);
    });
  }
  void TakeAll(const std::vector<Use>& uses, int in, int out) {
    for (size_t i = 0; i < uses.size(); ++i) {
      const Use& u = uses[i];
      const int k = static_cast<int>(i % 4);
      weave_.Take(u.slice, u.access, u.address, u.cycle);
      weave_.At(MemQueue(u.slice),
                u.access == Access::kRead ? ops::Read(u.address, 0, in + k)
                                          : ops::Write(u.address, 0, out + k),
                u.cycle);
    }
  }

  void Reduce(int w) {
    const int n = group_.size, period = timing_.d_func[static_cast<int>(Opcode::kAdd)];
    LOCKSTEP_CHECK(timing_.d_func[static_cast<int>(Opcode::kOr)] == period, "or takes not %d",
                   period);
    int64_t at = vxm_free_;
    for (int d = 1; d < n; ++d) {
      const int64_t stored = Slot(4 * w + 3) + ReceiveLag(d) + store_;
      const int hops = Hops(SlicePosition(ColumnSlice(Hemisphere::kWest, kDataColumns, 0)), kVxm);
      at = std::max(at, stored + 1 + hops + d_read_ - From(d) * period);
    }
    const int own = (shape_.direct ? 0 : group_.self * shape_.shard) + w;
    std::vector<Use> uses;
    for (;; ++at) {
      uses.clear();
      for (int m = 0; m < n; ++m) {
        UseQuad(uses, m == group_.self ? CollectiveInput(own) : Landing(w, m), Access::kRead,
                at + m * period);
      }
      const int64_t done = at + n * period;
      const bool scattered = kind_ == CollectiveKind::kReduceScatter;
      UseQuad(uses, CollectiveOutput(scattered ? w : own), Access::kWrite, done);
      if (gather_ > 0) UseQuad(uses, ShardWord(w), Access::kWrite, done);
      if (AllFree(uses)) break;
    }
    const int in = ops::East(kPartStream), sum = ops::East(kSumStream);
    TakeAll(uses, in, sum);
    weave_.At(VxmQueue(0), ops::BinaryImm(Opcode::kOr, kTypeF32, in, 0, sum), at);
    for (int m = 1; m < n; ++m) {
      weave_.At(VxmQueue(1), ops::Binary(Opcode::kAdd, kTypeF32, in, sum, sum), at + m * period);
    }
    vxm_free_ = at + n * period;
    LOCKSTEP_CHECK(vxm_free_ < Slot(4 * (w + 2 * kLandingWords)), "word %d lands anew unread", w);
    if (gather_ == 0) return;
    // Written before the gather reads it.
    const int64_t read = Slot(gather_ + 4 * w) - Hops(kMxmEast, kSxmWest) - d_read_;
    LOCKSTEP_CHECK(uses.back().cycle < read, "sum %d stands at %d, is sent from %d", w,
                   uses.back().cycle, read);
  }

  // --- copies within the chip ----------------------------------------------------------------
  void Copy(Quad from, Quad to, int64_t earliest) {
    const int a = SlicePosition(ColumnSlice(from.side, from.column, 0));
    const int b = SlicePosition(ColumnSlice(to.side, to.column, 0));
    const Direction way = a <= b ? Direction::kEast : Direction::kWest;
    const int stream = StreamNumber(way, kCopyStream);
    std::vector<Use> uses;
    for (int64_t at = std::max(earliest, copy_free_);; ++at) {
      uses.clear();
      for (int k = 0; k < 4; ++k) {
        uses.push_back({ColumnSlice(from.side, from.column, k), Access::kRead, from.address, at});
      }
      for (int k = 0; k < 4; ++k) {
        uses.push_back({ColumnSlice(to.side, to.column, k), Access::kWrite, to.address,
                        at + d_read_ + Hops(a, b)});
      }
      if (!AllFree(uses)) continue;
      TakeAll(uses, stream, stream);
      copy_free_ = at + 1;
      return;
    }
  }

  void CopyOwn() {
    const int s = shape_.shard, self = group_.self;
    for (int w = 0; w < shape_.words; ++w) {
      const bool mine = w / s == self;
      switch (kind_) {
        case CollectiveKind::kAllReduce:
        case CollectiveKind::kReduceScatter:
          return;
        case CollectiveKind::kAllGather:
          if (mine) Copy(CollectiveInput(w % s), CollectiveOutput(w), 0);
          break;
        case CollectiveKind::kAllToAll:
          if (mine) Copy(CollectiveInput(w), CollectiveOutput(w), 0);
          break;
        case CollectiveKind::kBroadcast:
          // What the gather brings to the root is what it has, except for its own block.
          if (!mine) break;
          if (self == 0) {
            Copy(CollectiveInput(w), CollectiveOutput(w), 0);
          } else {
            Copy(ShardWord(w % s), CollectiveOutput(w),
                 Slot(4 * (w % s) + 3) + ReceiveLag(self) + store_ + 1);
          }
      }
    }
  }

  static constexpr int64_t kSlack = 24;  // what slices may make a sum wait

  const CollectiveKind kind_;
  const CollectiveProgram& shape_;
  const Group& group_;
  const ChipTiming& timing_;
  const Phases phases_;
  const int64_t d_read_, store_;
  std::vector<int> delay_;  // by distance
  int64_t gather_ = 0;      // first slot of the gather; 0: none, or nothing before it
  int64_t vxm_free_ = 0, copy_free_ = 0;
  Weave weave_;
};

}  // namespace

absl::StatusOr<CollectiveKind> CollectiveByName(absl::string_view name) {
  constexpr absl::string_view kNames[] = {"all-reduce", "reduce-scatter", "all-gather", "broadcast",
                                          "all-to-all"};
  for (int i = 0; i < 5; ++i) {
    if (kNames[i] == name) return static_cast<CollectiveKind>(i);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no collective is called ", name,
                   "; there are all-reduce, reduce-scatter, all-gather, broadcast, all-to-all"));
}

Quad CollectiveInput(int word) { return Word(Hemisphere::kWest, word); }
Quad CollectiveOutput(int word) { return Word(Hemisphere::kEast, word); }

absl::StatusOr<CollectiveProgram> CompileCollective(CollectiveKind kind, int64_t bytes,
                                                    const Group& group, const ChipTiming& timing,
                                                    Phases phases) {
  const int n = group.size;
  LOCKSTEP_CHECK(n >= 1 && n <= 8 && static_cast<int>(group.port.size()) == n, "%d members", n);
  const int64_t most = int64_t{kDataColumns} * kWordsPerSlice * kWordBytes;
  if (bytes < 1 || bytes > most || bytes / n > int64_t{kWordsPerSlice - 1} * kWordBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a collective of ", bytes, " B on ", n, " chips: need 1.. ",
                     std::min(most, n * int64_t{kWordsPerSlice - 1} * kWordBytes), " B"));
  }
  CollectiveProgram out;
  const int words = static_cast<int>((bytes + kWordBytes - 1) / kWordBytes);
  out.shard = CeilDiv(words, n);
  // One hop and n times the vectors, or two hops.
  const int64_t hop = group.flight_cycles + timing.receive_turnaround;
  const int64_t more = int64_t{4} * (words - 2 * out.shard) * LinkPeriod(timing);
  out.direct = kind == CollectiveKind::kAllReduce && more < hop;
  if (out.direct) out.shard = words;
  out.words = out.direct ? words : out.shard * n;
  if (kind == CollectiveKind::kAllReduce && phases == Phases::kSeparate && n > 1) {
    out.direct = false, out.shard = CeilDiv(words, n), out.words = out.shard * n;
  }
  out.sram_bytes = (2 * int64_t{out.words} + out.shard + 2 * kLandingWords * n) * kWordBytes;
  out.program = Compiler(kind, out, group, timing, phases).Compile();
  return out;
}

}  // namespace lockstep
