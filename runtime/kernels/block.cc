// The reservation table (runtime/kernels/block.h).
#include "runtime/kernels/block.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "chip/check.h"
#include "runtime/kernels/place.h"
#include "runtime/kernels/queue_writer.h"

namespace lockstep {
namespace {

// Resources: queues, of MEM slices what they read; then what slices write, and their banks; then
// streams x parts of the chip.
constexpr int kWritePorts = kQueues, kBanks = kWritePorts + kSlices;
constexpr int kFirstStream = kBanks + kSlices * kBanksPerSlice;
constexpr int kParts = 2 * kColumns + 3;  // west, western activation columns, VXM, eastern ones, east
constexpr int kStreams = 2 * kStreamsPerDirection;
constexpr int kResources = kFirstStream + kStreams * kParts;

int Part(int position) {
  return std::clamp(position - kVxm, -kColumns - 1, kColumns + 1) + kColumns + 1;
}

// Diagonals of a stream that a block uses, at a part of the chip.
struct StreamUse {
  int stream, part;
  int64_t from, to;
};

int64_t Last(const Block::Item& item) { return item.first + int64_t{item.count - 1} * item.period; }

bool IsWrite(OperandKind kind) {
  return kind == OperandKind::kStreamOut || kind == OperandKind::kStreamOutOrNone;
}

void AddStreamUses(const Block::Item& item, int d, std::vector<StreamUse>& uses) {
  const OpInfo& info = Info(item.instr.op);
  const int position = Queue(item.queue).position;
  for (int k = 0; k < info.operand_count; ++k) {
    const OperandKind kind = info.operands[k].kind;
    const bool write = IsWrite(kind);
    if (!write && kind != OperandKind::kStreamIn && kind != OperandKind::kStreamInOrImmediate) {
      continue;
    }
    for (int s = 0; s < StreamCount(item.instr, k); ++s) {
      const int stream = item.instr.arg[k] + s;
      const int64_t lag = write ? d : 0;
      const Direction dir = StreamDirection(stream);
      uses.push_back({stream, Part(position), Diagonal(dir, position, item.first + lag),
                      Diagonal(dir, position, Last(item) + lag)});
    }
  }
}

}  // namespace

void Block::HoldFor(int index, int64_t from, int64_t to) {
  holds_.push_back({index, from, to});
  for (Hemisphere side : {Hemisphere::kWest, Hemisphere::kEast}) {
    if (index != HoldIndex(Hold::kActivations, side)) continue;
    for (int v = 0; v < kActivationVectors; ++v)
      holds_.push_back({ActivationHold(side, v), from, to});
  }
}

Placer::Placer(const ChipTiming& timing, const Placements* known)
    : timing_(timing), known_(known), taken_(kResources) {}

int64_t Placer::Known() {
  LOCKSTEP_CHECK(answers_.size() < known_->size(), "only %d placements are known", known_->size());
  answers_.push_back((*known_)[answers_.size()]);
  return answers_.back();
}

int64_t Placer::Agree(int64_t mine) {
  if (known_ != nullptr) return Known();
  answers_.push_back(mine);
  return mine;
}

Placer::Needs Placer::NeedsOf(const Block& block) const {
  Needs needs;
  std::vector<Use>& uses = needs.uses;
  std::vector<StreamUse> streams;
  for (const Block::Item& item : block.items()) {
    const int d = timing_.d_func[static_cast<int>(item.instr.op)];
    if (Queue(item.queue).unit != Unit::kMem) uses.push_back({item.queue, item.first, Last(item)});
    AddStreamUses(item, d, streams);
  }
  AddAccesses(block, needs.accesses);
  for (const SramAccess& access : needs.accesses) AddSliceUses(access, uses);
  for (const Block::Area& area : block.areas()) Cover(area, needs.accesses);
  std::sort(streams.begin(), streams.end(), [](const StreamUse& a, const StreamUse& b) {
    return std::tie(a.stream, a.from) < std::tie(b.stream, b.from);
  });
  for (size_t i = 0, next = 0; i < streams.size(); i = next) {
    // A value of the stream may cross all parts between those that the block touches there.
    StreamUse joined = streams[i];
    int part_low = joined.part, part_high = joined.part;
    for (next = i + 1; next < streams.size() && streams[next].stream == joined.stream &&
                       streams[next].from <= joined.to + 1;
         ++next) {
      joined.to = std::max(joined.to, streams[next].to);
      part_low = std::min(part_low, streams[next].part);
      part_high = std::max(part_high, streams[next].part);
    }
    for (int part = part_low; part <= part_high; ++part) {
      uses.push_back({kFirstStream + joined.stream * kParts + part, joined.from, joined.to});
    }
  }
  Join(uses);
  return needs;
}

// The port and the banks of a slice; those that gather and scatter may reach are both.
void Placer::AddSliceUses(const SramAccess& access, std::vector<Use>& uses) {
  const int64_t last = access.first + int64_t{access.count - 1} * access.period;
  uses.push_back({access.write ? kWritePorts + access.slice : MemQueue(access.slice), access.first,
                  last});
  const auto bank = [](int address) { return address / kWordsPerBank; };
  const int end = access.address + (access.count - 1) * access.stride;
  const auto [low, high] = std::minmax({bank(access.address), bank(end)});
  for (int b = 0; b < kBanksPerSlice; ++b) {
    if (!access.mapped && (b < low || b > high)) continue;
    uses.push_back({kBanks + access.slice * kBanksPerSlice + b, access.first, last});
  }
}

// What a block holds twice counts once (a slice that a run of receives writes between its reads).
void Placer::Join(std::vector<Use>& uses) {
  std::sort(uses.begin(), uses.end(), [](const Use& a, const Use& b) {
    return std::tie(a.resource, a.from) < std::tie(b.resource, b.from);
  });
  size_t joined = 0;
  for (const Use& use : uses) {
    Use* last = joined == 0 ? nullptr : &uses[joined - 1];
    if (last != nullptr && last->resource == use.resource && use.from <= last->to) {
      last->to = std::max(last->to, use.to);
    } else {
      uses[joined++] = use;
    }
  }
  uses.resize(joined);
}

void Placer::AddAccesses(const Block& block, std::vector<SramAccess>& out) const {
  for (const Block::Item& item : block.items()) {
    const Opcode op = item.instr.op;
    if (op == Opcode::kReceive) {
      const int64_t access = timing_.d_func[static_cast<int>(op)] + timing_.receive_turnaround;
      out.push_back({item.instr.arg[0], item.instr.arg[OperandIndex(op, "address")],
                     item.instr.arg[OperandIndex(op, "stride")], item.count, item.first + access,
                     item.period, 1, true, false});
      continue;
    }
    const bool mapped = op == Opcode::kGather || op == Opcode::kScatter;
    const bool write = op == Opcode::kWrite || op == Opcode::kScatter;
    if (!mapped && !write && op != Opcode::kRead) continue;
    out.push_back({item.queue, item.instr.arg[OperandIndex(op, "address")],
                   item.instr.arg[OperandIndex(op, "stride")], item.count, item.first, item.period,
                   mapped ? block.reach() : 1, write, mapped});
  }
  for (SramAccess& a : out) {
    for (const Block::Area& area : block.areas()) a.mapped |= area.InTwoBanks() && area.Has(a);
  }
}

// Adds what covers all words of the area, as long as any of them is read, or written.
void Placer::Cover(const Block::Area& area, std::vector<SramAccess>& accesses) {
  for (const bool write : {false, true}) {
    int64_t first = std::numeric_limits<int64_t>::max(), last = std::numeric_limits<int64_t>::min();
    for (const SramAccess& a : accesses) {
      if (a.write != write || !area.Has(a)) continue;
      first = std::min(first, a.first);
      last = std::max(last, a.first + int64_t{a.count - 1} * a.period);
    }
    if (first > last) continue;
    accesses.push_back({area.slice, area.address, 0, 2, first, static_cast<int>(last - first),
                        area.words, write, false});
  }
}

int64_t Placer::Find(const Block& block, int64_t earliest) {
  if (known_ != nullptr) return Known();
  answers_.push_back(Find(block, NeedsOf(block), earliest));
  return answers_.back();
}

int64_t Placer::Find(const Block& block, const Needs& needs, int64_t earliest) const {
  int64_t start = earliest;
  for (const Block::Item& item : block.items()) start = std::max(start, -item.first);
  for (const SramAccess& access : needs.accesses) start = std::max(start, sram_.Delay(access));
  for (const Block::Held& h : block.holds()) {
    start = std::max(start, frontier_[h.index] - h.from);
  }
  for (bool moved = true; moved;) {
    moved = false;
    for (const Use& u : needs.uses) {
      const int64_t free = taken_[u.resource].FirstFree(start + u.from, u.to - u.from + 1) - u.from;
      moved = moved || free > start;
      start = free;
    }
  }
  return start;
}

int64_t Placer::Place(const Block& block, int64_t earliest) {
  if (known_ != nullptr) {
    Add(block, Known());
    return answers_.back();
  }
  const Needs needs = NeedsOf(block);
  const int64_t start = Find(block, needs, earliest);
  for (const Use& u : needs.uses) taken_[u.resource].Take(start + u.from, start + u.to);
  for (const SramAccess& access : needs.accesses) sram_.Record(access, start);
  for (const Block::Held& h : block.holds()) {
    frontier_[h.index] = std::max(frontier_[h.index], start + h.to + 1);
  }
  Add(block, start);
  answers_.push_back(start);
  return start;
}

void Placer::Add(const Block& block, int64_t start) {
  if (block.items().empty()) return;
  Span span{block.name(), std::numeric_limits<int64_t>::max(), 0};
  for (Block::Item item : block.items()) {
    item.first += start;
    span.first = std::min(span.first, item.first);
    span.last = std::max(span.last, Last(item));
    if (!item.shadow) queues_[item.queue].push_back(item);
  }
  spans_.push_back(span);
}

Program Placer::Finish() const {
  LOCKSTEP_CHECK(known_ == nullptr || answers_ == *known_, "%d of %d placements", answers_.size(),
                 known_->size());
  Program program;
  for (int q = 0; q < kQueues; ++q) program.queues[q] = WriteQueue(q, queues_[q]);
  return program;
}

}  // namespace lockstep
