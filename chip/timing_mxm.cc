// MXM rules over runs: a walk a hemisphere, from install to install (chip/timing_mxm.h).
#include "chip/timing_mxm.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "chip/progression.h"

namespace lockstep {
namespace {

constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

// Bits of word w that stand for rows begin..end - 1.
uint64_t RowMask(int w, int begin, int end) {
  const int lo = std::max(begin - w * 64, 0), hi = std::min(end - w * 64, 64);
  if (lo >= hi) return 0;
  return (hi == 64 ? ~uint64_t{0} : (uint64_t{1} << hi) - 1) & ~((uint64_t{1} << lo) - 1);
}

bool IsFeed(Opcode op) { return op == Opcode::kAbcFeed || op == Opcode::kAbcStream; }
bool IsF16(const Run& run) { return run.instr.arg[0] == kTypeF16; }

// The runs of one queue, and how far the walk has come.
struct Cursor {
  const std::vector<int32_t>* ids = nullptr;
  const Schedule* schedule = nullptr;
  size_t at = 0;
  int64_t iteration = 0;

  bool done() const { return at == ids->size(); }
  int32_t id() const { return (*ids)[at]; }
  const Run& run() const { return schedule->runs[id()]; }
  int64_t cycle() const { return done() ? kForever : run().cycle(iteration); }
  void Skip(int64_t n) {
    iteration += n;
    if (iteration == run().count) ++at, iteration = 0;
  }
  // Dispatches left that come before `cycle` (or in it, if `inclusive`).
  int64_t Before(int64_t limit, bool inclusive) const {
    const int64_t left = run().count - iteration;
    if (limit == kForever) return left;
    const int64_t span = limit - cycle() + (inclusive ? 1 : 0);
    return std::min(left, (span + run().period - 1) / run().period);
  }
};

class HemisphereWalk {
 public:
  HemisphereWalk(const Schedule& schedule, const MxmRuns& runs, const ChipTiming& timing,
                 int hemisphere, MxmState& state, EarliestFault& faults)
      : timing_(timing), even_(hemisphere * 2), state_(state),
        f16_rows_(state.f16_rows[hemisphere]), faults_(faults) {
    for (int i = 0; i < 6; ++i) {
      const int plane = even_ + i / 3, queue_class = kMxmAbc + i % 3;
      cursors_[i].ids = &runs[plane * 4 + queue_class];
      cursors_[i].schedule = &schedule;
    }
  }

  void Walk() {
    while (true) {
      int next = 0;
      for (int i = 1; i < 6; ++i) {
        if (cursors_[i].cycle() < cursors_[next].cycle()) next = i;
      }
      Cursor& c = cursors_[next];
      if (c.done()) return;
      if (faults_.found() && c.cycle() > faults_.found()->place.cycle) return;
      const int plane = even_ + next / 3;
      switch (c.run().instr.op) {
        case Opcode::kAbcLoad: Load(c, plane); break;
        case Opcode::kAbcFeed:
        case Opcode::kAbcStream: Feed(c, next, plane); break;
        case Opcode::kIw: Install(c, plane); break;
        default: FillRows(c, next, plane); break;
      }
    }
  }

 private:
  MxmState::Plane& Plane(int plane) { return state_.planes[plane]; }

  void Offer(FaultKind kind, const Cursor& c, int64_t ahead, std::string detail) {
    faults_.Offer(kind, c.id(), c.iteration + ahead, std::move(detail));
  }
  bool OddF16(const Cursor& c, int plane) {
    if (!IsF16(c.run()) || plane == even_) return false;
    Offer(FaultKind::kBadInstruction, c, 0, "f16 belongs to the even plane");
    return true;
  }

  // Dispatches of cursor `i` before the next install of the hemisphere acts.
  int64_t BeforeInstall(int i) const {
    int64_t n = cursors_[i].run().count;
    for (int iw : {1, 4}) {
      n = std::min(n, cursors_[i].Before(cursors_[iw].cycle(), i < iw));
    }
    return n;
  }

  void Load(Cursor& c, int plane) {
    const Run& run = c.run();
    const bool f16 = IsF16(run);
    MxmState::Plane& p = Plane(plane);
    OddF16(c, plane);
    const int64_t n = run.instr.arg[2] == 0 ? 1 : run.count;
    for (int64_t i = 0; i < n; ++i) {
      const int entry = OperandAt(run, 1, i);
      if (f16 && entry > 31) {
        Offer(FaultKind::kBadInstruction, c, i, absl::StrCat("f16 entry ", entry, " > 31"));
        break;
      }
      const uint64_t bits = f16 ? uint64_t{3} << (2 * entry) : uint64_t{1} << entry;
      (f16 ? p.f16_entries : p.i8_entries) |= bits;
      (f16 ? p.i8_entries : p.f16_entries) &= ~bits;
    }
    c.Skip(run.count);
  }

  void CheckEntries(const Cursor& c, int plane, int64_t n) {
    const Run& run = c.run();
    const MxmState::Plane& p = Plane(plane);
    if (run.instr.arg[2] == 0) n = 1;
    for (int64_t i = 0; i < n; ++i) {
      const int entry = OperandAt(run, 1, c.iteration + i);
      if (entry > 63) {
        return Offer(FaultKind::kBadInstruction, c, i, absl::StrCat("entry ", entry, " > 63"));
      }
      const uint64_t need = IsF16(run) ? uint64_t{3} << (entry & ~1) : uint64_t{1} << entry;
      if (((IsF16(run) ? p.f16_entries : p.i8_entries) & need) != need) {
        return Offer(FaultKind::kBufferEmpty, c, i, absl::StrCat("entry ", entry));
      }
    }
  }

  void Feed(Cursor& c, int index, int plane) {
    const Run& run = c.run();
    const bool f16 = IsF16(run);
    const int64_t n = BeforeInstall(index), t = c.cycle();
    OddF16(c, plane);
    if (run.instr.op == Opcode::kAbcFeed) CheckEntries(c, plane, n);
    const int other = plane ^ 1;
    const Held held = Plane(plane).installed;
    if (t < busy_until_[plane & 1] || (f16 && t < busy_until_[other & 1])) {
      Offer(FaultKind::kPlaneBusy, c, 0, "the install is not done");
    } else if (held == Held::kNothing) {
      Offer(FaultKind::kPlaneEmpty, c, 0, "nothing is installed");
    } else if (held != (f16 ? Held::kF16 : Held::kI8)) {
      Offer(FaultKind::kTypeMismatch, c, 0, "the plane holds another type");
    }
    const int64_t last = run.cycle(c.iteration + n - 1);
    last_feed_[plane & 1] = last;
    if (f16) last_feed_[other & 1] = last;
    c.Skip(n);
  }

  void Install(Cursor& c, int plane) {
    const int64_t t = c.cycle();
    const bool f16 = IsF16(c.run());
    OddF16(c, plane);
    MxmState::Plane &p = Plane(plane), &other = Plane(plane ^ 1);
    if (last_feed_[plane & 1] == t || (f16 && last_feed_[(plane ^ 1) & 1] == t)) {
      Offer(FaultKind::kPlaneBusy, c, 0, "the plane is fed in this cycle");
    }
    if (f16 ? p.rows.any() || other.rows.any() : f16_rows_.any()) {
      Offer(FaultKind::kTypeMismatch, c, 0, "the weight buffer holds the other type");
    }
    const int64_t until = t + timing_.d_func[static_cast<int>(Opcode::kIw)];
    busy_until_[plane & 1] = until;
    if (f16) {
      busy_until_[(plane ^ 1) & 1] = until;
      p.installed = other.installed = Held::kF16;
      f16_rows_.Clear();
    } else {
      p.installed = Held::kI8;
      if (other.installed == Held::kF16) other.installed = Held::kNothing;
      p.rows.Clear();
    }
    c.Skip(1);
  }

  // Dispatches of LW cursor `i` that nothing else of the weight buffers comes between.
  int64_t BeforeOtherRows(int i) const {
    const Cursor &c = cursors_[i], &other = cursors_[i == 2 ? 5 : 2];
    const int64_t n = BeforeInstall(i);
    if (other.done()) return n;
    if (!IsF16(c.run()) && !IsF16(other.run())) {
      return std::min(n, c.Before(other.run().last(), true));
    }
    return std::min(n, c.Before(other.cycle(), i == 2));
  }

  void FillRows(Cursor& c, int index, int plane) {
    const Run& run = c.run();
    const bool f16 = IsF16(run);
    const int height = f16 ? run.instr.arg[3] / 2 : run.instr.arg[3];
    const int stride = run.instr.arg[2];
    const int64_t n = std::max<int64_t>(1, BeforeOtherRows(index));
    RowSet& rows = f16 ? f16_rows_ : Plane(plane).rows;
    if (f16 ? Plane(even_).rows.any() || Plane(even_ + 1).rows.any() : f16_rows_.any()) {
      Offer(FaultKind::kTypeMismatch, c, 0, "the weight buffer holds the other type");
    }
    const int first = OperandAt(run, 1, c.iteration);
    const int64_t end = first + (n - 1) * stride + height;
    if ((stride == height || n == 1) && end <= (f16 ? 160 : 320) &&
        !rows.AnyIn(first, static_cast<int>(end))) {
      rows.Add(first, static_cast<int>(end));
    } else {
      FillOneByOne(c, n, height, f16 ? 160 : 320, rows);
    }
    c.Skip(n);
  }

  void FillOneByOne(const Cursor& c, int64_t n, int height, int limit, RowSet& rows) {
    for (int64_t i = 0; i < n; ++i) {
      const int row = OperandAt(c.run(), 1, c.iteration + i);
      if (row + height > limit) {
        return Offer(FaultKind::kBadInstruction, c, i,
                     absl::StrCat("row ", row + height - 1, " > ", limit - 1));
      }
      if (rows.AnyIn(row, row + height)) {
        return Offer(FaultKind::kBufferFull, c, i, absl::StrCat("row ", row));
      }
      rows.Add(row, row + height);
    }
  }

  const ChipTiming& timing_;
  const int even_;
  MxmState& state_;
  RowSet& f16_rows_;
  EarliestFault& faults_;
  Cursor cursors_[6];  // abc, iw, lw of the even plane, then of the odd one: the queues' order
  int64_t busy_until_[2] = {0, 0};
  int64_t last_feed_[2] = {-1, -1};
};

}  // namespace

bool RowSet::any() const { return AnyIn(0, 320); }

bool RowSet::AnyIn(int begin, int end) const {
  for (int w = 0; w < 5; ++w) {
    if ((words_[w] & RowMask(w, begin, end)) != 0) return true;
  }
  return false;
}

void RowSet::Add(int begin, int end) {
  for (int w = 0; w < 5; ++w) words_[w] |= RowMask(w, begin, end);
}

void CheckResults(const Schedule& schedule, const MxmRuns& runs, const ChipTiming& timing,
                  EarliestFault& faults) {
  Coverage coverage;
  for (int plane = 0; plane < kPlanes; ++plane) {
    std::vector<int32_t> feeds = runs[plane * 4 + kMxmAbc];
    feeds.erase(std::remove_if(feeds.begin(), feeds.end(),
                               [&](int32_t id) { return !IsFeed(schedule.runs[id].instr.op); }),
                feeds.end());
    // With no array depth a result would leave before its feed acts: none is ever there.
    if (timing.mxm_array == 0) feeds.clear();
    size_t start = 0;
    for (int32_t id : runs[plane * 4 + kMxmAcc]) {
      const Run& acc = schedule.runs[id];
      if (IsF16(acc) && plane % 2 == 1) {
        faults.Offer(FaultKind::kBadInstruction, id, 0, "f16 belongs to the even plane");
      }
      const Progression takes{acc.first, acc.period, acc.count};
      coverage.Reset(acc.count);
      const auto leaves = [&](size_t k) {
        const Run& f = schedule.runs[feeds[k]];
        return Progression{f.first + timing.mxm_array, f.period, f.count};
      };
      while (start < feeds.size() && leaves(start).last() < acc.first) ++start;
      for (size_t k = start; k < feeds.size() && leaves(k).first <= acc.last(); ++k) {
        const Indices both = CommonIndices(takes, leaves(k));
        if (coverage.Claim(both) > 0 && IsF16(schedule.runs[feeds[k]]) != IsF16(acc)) {
          faults.Offer(FaultKind::kTypeMismatch, id, both.first, "the result is of another type");
        }
      }
      if (coverage.complete()) continue;
      faults.Offer(FaultKind::kNoResult, id, coverage.first_free(), "no result leaves the array");
    }
  }
}

void CheckMxm(const Schedule& schedule, const MxmRuns& runs, const ChipTiming& timing,
              MxmState& state, EarliestFault& faults) {
  for (int h = 0; h < 2; ++h) {
    HemisphereWalk(schedule, runs, timing, h, state, faults).Walk();
  }
}

}  // namespace lockstep
