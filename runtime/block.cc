// The reservation table (runtime/block.h).
#include "runtime/block.h"

#include <algorithm>
#include <limits>

#include "chip/check.h"

namespace lockstep {
namespace {

// Resources: queues, then streams x 3 parts of the chip, then holds.
constexpr int kParts = 3;  // west of the VXM, the VXM, east of it
constexpr int kStreams = 2 * kStreamsPerDirection;
constexpr int kStreamBase = kQueues;
constexpr int kHoldBase = kStreamBase + kStreams * kParts;
constexpr int kResources = kHoldBase + kHolds;

int Part(int position) { return position < kVxm ? 0 : position == kVxm ? 1 : 2; }

struct StreamUse {
  bool used = false;
  int part_low = kParts, part_high = -1;
  int64_t from = std::numeric_limits<int64_t>::max();
  int64_t to = std::numeric_limits<int64_t>::min();
  void Add(int part, int64_t first, int64_t last) {
    used = true;
    part_low = std::min(part_low, part), part_high = std::max(part_high, part);
    from = std::min(from, first), to = std::max(to, last);
  }
};

struct Interval {
  int64_t from = std::numeric_limits<int64_t>::max();
  int64_t to = std::numeric_limits<int64_t>::min();
  void Add(int64_t first, int64_t last) {
    from = std::min(from, first), to = std::max(to, last);
  }
  bool used() const { return from <= to; }
};

bool IsWrite(OperandKind kind) {
  return kind == OperandKind::kStreamOut || kind == OperandKind::kStreamOutOrNone;
}

}  // namespace

std::vector<Placer::Use> Placer::UsesOf(const Block& block) const {
  std::array<StreamUse, kStreams> streams;
  std::array<Interval, kQueues> queues;
  for (const Block::Item& item : block.items()) {
    const int64_t last = item.first + int64_t{item.count - 1} * item.period;
    queues[item.queue].Add(item.first, last);
    const int d = timing_.d_func[static_cast<int>(item.instr.op)];
    if (item.instr.op == Opcode::kReceive) {
      const int64_t access = d + timing_.receive_turnaround;
      queues[MemQueue(item.instr.arg[0])].Add(item.first + access, last + access);
    }
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
        streams[stream].Add(Part(position), Diagonal(dir, position, item.first + lag),
                            Diagonal(dir, position, last + lag));
      }
    }
  }
  std::vector<Use> uses;
  for (int q = 0; q < kQueues; ++q) {
    if (queues[q].used()) uses.push_back({q, queues[q].from, queues[q].to});
  }
  for (int s = 0; s < kStreams; ++s) {
    for (int part = streams[s].part_low; part <= streams[s].part_high; ++part) {
      uses.push_back({kStreamBase + s * kParts + part, streams[s].from, streams[s].to});
    }
  }
  for (const Block::Held& h : block.holds()) uses.push_back({kHoldBase + h.index, h.from, h.to});
  return uses;
}

int64_t Placer::Place(const Block& block, int64_t earliest) {
  if (frontier_.empty()) frontier_.assign(kResources, -kPositions);
  const std::vector<Use> uses = UsesOf(block);
  int64_t start = earliest;
  for (const Block::Item& item : block.items()) start = std::max(start, -item.first);
  for (const Use& u : uses) start = std::max(start, frontier_[u.resource] - u.from);
  for (const Use& u : uses) {
    frontier_[u.resource] = std::max(frontier_[u.resource], start + u.to + 1);
  }
  Add(block, start);
  return start;
}

int64_t Placer::PlaceApart(const Block& block, int64_t from, int64_t to) {
  if (frontier_.empty()) frontier_.assign(kResources, -kPositions);
  // Frontiers of streams are diagonals: up to kPositions away from the cycle.
  const int64_t free = *std::max_element(frontier_.begin(), frontier_.end()) + kPositions;
  const int64_t start = free - from;  // may be negative: the block begins with its cycle `from`
  for (const Block::Item& item : block.items()) {
    const int64_t last = item.first + int64_t{item.count - 1} * item.period;
    LOCKSTEP_CHECK(item.first >= from && last <= to, "%s: cycles %d..%d outside %d..%d",
                   block.name(), item.first, last, from, to);
  }
  std::fill(frontier_.begin(), frontier_.end(), start + to + kPositions + 1);
  Add(block, start);
  return start;
}

void Placer::Add(const Block& block, int64_t start) {
  Interval span;
  for (Block::Item item : block.items()) {
    item.first += start;
    span.Add(item.first, item.first + int64_t{item.count - 1} * item.period);
    queues_[item.queue].push_back(item);
  }
  if (span.used()) spans_.push_back({block.name(), span.from, span.to});
}

Program Placer::Finish() const {
  Program program;
  for (int q = 0; q < kQueues; ++q) {
    std::vector<Block::Item> items = queues_[q];
    std::stable_sort(items.begin(), items.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<Instruction>& text = program.queues[q];
    int64_t now = 0;
    const auto wait_until = [&](int64_t cycle) {
      LOCKSTEP_CHECK(cycle >= now, "%s is busy at %d until %d", QueueName(q), cycle, now);
      for (; now < cycle; now += text.back().arg[0]) {
        text.push_back({Opcode::kNop, false,
                        {static_cast<int32_t>(std::min<int64_t>(cycle - now, 65535))}});
      }
    };
    for (Block::Item& item : items) {
      // A run longer than one REPEAT can say is cut into pieces.
      for (int32_t done = 0; done < item.count;) {
        wait_until(item.first + int64_t{done} * item.period);
        const int32_t n = std::min(item.count - done, 65536);
        Run run{item.instr, q, 0, 0};
        text.push_back(InstructionAt(run, done));
        if (n > 1) text.push_back({Opcode::kRepeat, false, {n - 1, item.period}});
        done += n;
        now = item.first + int64_t{done - 1} * item.period + 1;
      }
    }
  }
  return program;
}

}  // namespace lockstep
