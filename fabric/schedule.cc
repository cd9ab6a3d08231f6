// The verifier of transfer schedules (fabric/schedule.h).
#include "fabric/schedule.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/geometry.h"
#include "chip/latency.h"
#include "chip/link_serialiser.h"

namespace lockstep {
namespace {

// An operation in the cycles of the run.
struct Placed {
  const LinkOperation* op;
  Progression cycles;
};
using Runs = std::vector<Placed>;

absl::Status Broken(uint32_t chip, int link, int64_t cycle, const std::string& why) {
  return absl::InvalidArgumentError(
      absl::StrCat("schedule: chip", chip, " link ", link, " @", cycle, ": ", why));
}

// Takes progressions apart from the front.
struct Cursor {
  const std::vector<Progression>& runs;
  size_t run = 0;
  int64_t taken = 0;  // of runs[run]

  bool done() const { return run == runs.size(); }
  int64_t left() const { return runs[run].count - taken; }
  Progression Peek(int64_t n) const { return {runs[run].at(taken), runs[run].period, n}; }
  void Advance(int64_t n) {
    taken += n;
    if (left() == 0) ++run, taken = 0;
  }
};

// First i with a.at(i) > b.at(i), or -1: the difference is linear.
int64_t FirstLater(const Progression& a, const Progression& b, int64_t from, int64_t count) {
  if (from >= count) return -1;
  const auto later = [&](int64_t i) { return a.at(i) > b.at(i); };
  if (later(from)) return from;
  if (!later(count - 1)) return -1;
  int64_t good = from, bad = count - 1;
  while (bad - good > 1) {
    const int64_t middle = good + (bad - good) / 2;
    (later(middle) ? bad : good) = middle;
  }
  return bad;
}

// One wire: its sends against its receives.
class WireCheck {
 public:
  WireCheck(const Wiring& wiring, int32_t wire, int fifo, const Runs& out, const Runs& in)
      : wiring_(wiring), wire_(wiring.wires()[wire]), id_(wire), slots_(out), received_(in),
        taken_(fifo, -1) {
    for (const Placed& p : in) received_cycles_.push_back(p.cycles);
  }

  absl::Status Check(std::vector<Transfer>& transfers, LinkUse& use) {
    RETURN_IF_ERROR(CheckSlots(use));
    Cursor send{sent_}, receive{received_cycles_};
    while (!send.done() && !receive.done()) {
      const int64_t n = std::min(send.left(), receive.left());
      const LinkOperation& to = *received_[receive.run].op;
      const int address = static_cast<int>(to.address + receive.taken * to.stride);
      const Transfer t{id_, send.Peek(n), receive.Peek(n), to.slice, address, to.stride};
      const Progression arrival = Arrivals(t.sent, waits_[send.run]);
      RETURN_IF_ERROR(CheckArrivals(t, arrival));
      transfers.push_back(t);
      use.vectors += n;
      use.last_arrival = arrival.last();
      send.Advance(n), receive.Advance(n);
    }
    if (!send.done()) {
      const int64_t sent = send.Peek(1).first;
      return Broken(wire_.to_chip, wire_.to_link, Arrivals(send.Peek(1), waits_[send.run]).first,
                    absl::StrCat("no receive for the vector that chip", wire_.from_chip, " link ",
                                 wire_.from_link, " sends @", sent));
    }
    if (!receive.done()) {
      return Broken(wire_.to_chip, wire_.to_link, receive.Peek(1).first,
                    absl::StrCat("receive without a vector: chip", wire_.from_chip, " link ",
                                 wire_.from_link, " sends only ", use.vectors));
    }
    return absl::OkStatus();
  }

 private:
  // Of vectors that all wait `wait` ticks for the one before them.
  Progression Arrivals(const Progression& sent, int64_t wait) const {
    return {wiring_.ArrivalCycle(id_, sent.first * kTicksPerCycle + wait), sent.period, sent.count};
  }

  absl::Status CheckSlots(LinkUse& use) {
    const int64_t ticks = wiring_.vector_ticks();
    LinkSerialiser serialiser;
    for (const Placed& p : slots_) {
      Progression rest = p.cycles;
      // Vectors that wait go one by one; from the first that does not, all of a run are alike.
      while (rest.count > 0 && serialiser.Takes(rest.first)) {
        const int64_t wait = serialiser.Wait(rest.first);
        const bool alike = wait == 0 && rest.period * kTicksPerCycle >= ticks;
        const Progression now{rest.first, rest.period, alike ? rest.count : 1};
        if (p.op->op == LinkOp::kSend) sent_.push_back(now), waits_.push_back(wait);
        serialiser.SendAll(now, ticks);
        rest = {rest.at(now.count), rest.period, rest.count - now.count};
      }
      if (rest.count > 0) {
        return Broken(wire_.from_chip, wire_.from_link, rest.first,
                      absl::StrCat("link slot used twice: the vector before takes until cycle ",
                                   serialiser.NextCycle()));
      }
      use.busy_ticks += p.cycles.count * ticks;
    }
    return absl::OkStatus();
  }

  absl::Status CheckArrivals(const Transfer& t, const Progression& arrival) {
    const int64_t n = t.sent.count, fifo = static_cast<int64_t>(taken_.size());
    const int64_t early = FirstLater(arrival, t.received, 0, n);
    // Vector k finds the FIFO full if vector k - fifo is still in it.
    int64_t full = -1;
    const int64_t head = std::min(fifo, n);
    for (int64_t i = 0; i < head && full < 0; ++i) {
      if (taken_[(count_ + i) % fifo] > arrival.at(i)) full = i;
    }
    if (full < 0) {
      const Progression before{t.received.first - fifo * t.received.period, t.received.period, n};
      full = FirstLater(before, arrival, fifo, n);
    }
    if (early >= 0 && (full < 0 || early <= full)) {
      return Broken(wire_.to_chip, wire_.to_link, t.received.at(early),
                    absl::StrCat("receive before arrival: the vector sent @", t.sent.at(early),
                                 " arrives in cycle ", arrival.at(early)));
    }
    if (full >= 0) {
      return Broken(wire_.to_chip, wire_.to_link, arrival.at(full),
                    absl::StrCat("FIFO overflow: ", fifo, " vectors wait when the one sent @",
                                 t.sent.at(full), " arrives"));
    }
    for (int64_t i = std::max<int64_t>(0, n - fifo); i < n; ++i) {
      taken_[(count_ + i) % fifo] = t.received.at(i);
    }
    count_ += n;
    return absl::OkStatus();
  }

  const Wiring& wiring_;
  const Wire& wire_;
  const int32_t id_;
  const Runs& slots_;     // sends and transmits
  const Runs& received_;
  std::vector<Progression> received_cycles_;
  std::vector<Progression> sent_;  // cut where vectors begin or end to wait for the link
  std::vector<int64_t> waits_;     // by element of sent_: ticks each of its vectors waits
  std::vector<int64_t> taken_;  // cycles of the last receives, a ring
  int64_t count_ = 0;           // received so far
};

// No two receives of a program enter one slice in one cycle, wherever they come from: all take
// equally long from dispatch to access, so dispatch cycles decide. Cycles in errors are of the run.
absl::Status CheckSlices(uint32_t chip, const PlacedOperations& program) {
  std::array<std::vector<const LinkOperation*>, kSlices> by_slice;
  for (const LinkOperation& op : program.operations->operations) {
    if (op.op != LinkOp::kReceive) continue;
    const int64_t last = op.address + (op.cycles.count - 1) * op.stride;
    if (op.slice < 0 || op.slice >= kSlices || std::min<int64_t>(op.address, last) < 0 ||
        std::max<int64_t>(op.address, last) >= kWordsPerSlice) {
      return Broken(chip, op.link, program.start + op.cycles.first,
                    absl::StrCat("receive outside the slice: slice ", op.slice, " words ",
                                 op.address, "..", last));
    }
    by_slice[op.slice].push_back(&op);
  }
  for (int slice = 0; slice < kSlices; ++slice) {
    std::vector<const LinkOperation*>& runs = by_slice[slice];
    std::stable_sort(runs.begin(), runs.end(), [](const auto* a, const auto* b) {
      return a->cycles.first < b->cycles.first;
    });
    std::vector<const LinkOperation*> active;  // not over when the current one begins
    for (const LinkOperation* op : runs) {
      std::erase_if(active, [&](const auto* o) { return o->cycles.last() < op->cycles.first; });
      for (const LinkOperation* other : active) {
        const Indices common = CommonIndices(op->cycles, other->cycles);
        if (common.count == 0) continue;
        return Broken(chip, op->link, program.start + op->cycles.at(common.first),
                      absl::StrCat("two receives enter slice ", slice,
                                   " in one cycle, the other from link ", other->link));
      }
      active.push_back(op);
    }
  }
  return absl::OkStatus();
}

struct LinkEnds {
  std::array<Runs, kLinksPerChip> out, in;
};

// Adds a program's operations to the chip's link ends; they come after those that are there.
absl::Status Append(const Wiring& wiring, uint32_t chip, const PlacedOperations& program,
                    LinkEnds& ends) {
  const ChipOperations& ops = *program.operations;
  if (ops.sram_bytes > kSramBytes) {
    return absl::ResourceExhaustedError(absl::StrCat("schedule: chip", chip, " allocates ",
                                                     ops.sram_bytes, " B of SRAM, which has ",
                                                     kSramBytes));
  }
  for (const LinkOperation& op : ops.operations) {
    LOCKSTEP_CHECK(op.link >= 0 && op.link < kLinksPerChip && op.cycles.count > 0 &&
                       op.cycles.period > 0, "link %d, count %d", op.link, op.cycles.count);
    Progression cycles = op.cycles;
    cycles.first += program.start;
    if (!wiring.cabled(chip, op.link)) return Broken(chip, op.link, cycles.first, "no cable");
    Runs& runs = (op.op == LinkOp::kReceive ? ends.in : ends.out)[op.link];
    if (!runs.empty() && runs.back().cycles.last() >= cycles.first) {
      return Broken(chip, op.link, cycles.first,
                    absl::StrCat(op.op == LinkOp::kReceive ? "receives" : "link slot used twice: "
                                 "sends", " of one link begin before those before them end"));
    }
    runs.push_back({&op, cycles});
  }
  return absl::OkStatus();
}

// Programs of one chip do not meet: none has a link operation before the one before is through.
absl::Status CheckOrder(uint32_t chip, const ChipPrograms& programs) {
  int64_t last = INT64_MIN;
  for (const PlacedOperations& program : programs) {
    int64_t end = last;
    for (const LinkOperation& op : program.operations->operations) {
      if (program.start + op.cycles.first <= last) {
        return Broken(chip, op.link, program.start + op.cycles.first,
                      absl::StrCat("the program before has link operations until cycle ", last));
      }
      end = std::max(end, program.start + op.cycles.last());
    }
    last = end;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FabricSchedule> FabricSchedule::Create(
    const Wiring& wiring, int receive_fifo,
    absl::Span<const ChipPrograms> chips) {
  LOCKSTEP_CHECK(chips.size() == wiring.chips(), "%d chips of %d", chips.size(), wiring.chips());
  LOCKSTEP_CHECK(receive_fifo > 0, "a FIFO of %d vectors", receive_fifo);
  std::vector<LinkEnds> ends;
  std::set<const ChipOperations*> checked;  // only asked, never walked
  for (uint32_t c = 0; c < wiring.chips(); ++c) {
    ends.emplace_back();
    for (const PlacedOperations& program : chips[c]) {
      RETURN_IF_ERROR(Append(wiring, c, program, ends.back()));
      if (checked.insert(program.operations.get()).second) {
        RETURN_IF_ERROR(CheckSlices(c, program));
      }
    }
    if (chips[c].size() > 1) RETURN_IF_ERROR(CheckOrder(c, chips[c]));
  }
  FabricSchedule schedule;
  for (size_t w = 0; w < wiring.wires().size(); ++w) {
    const Wire& wire = wiring.wires()[w];
    LinkUse use{.wire = static_cast<int32_t>(w)};
    WireCheck check(wiring, use.wire, receive_fifo, ends[wire.from_chip].out[wire.from_link],
                    ends[wire.to_chip].in[wire.to_link]);
    RETURN_IF_ERROR(check.Check(schedule.transfers_, use));
    schedule.links_.push_back(use);
    schedule.vectors_ += use.vectors;
    schedule.last_arrival_ = std::max(schedule.last_arrival_, use.last_arrival);
  }
  return schedule;
}

int64_t FabricSchedule::UtilisationPpm(int64_t cycles) const {
  int64_t busy = 0;
  for (const LinkUse& use : links_) busy += use.busy_ticks;
  const int64_t all = cycles * kTicksPerCycle * static_cast<int64_t>(links_.size());
  if (all == 0) return 0;
  return static_cast<int64_t>(static_cast<double>(busy) * 1e6 / static_cast<double>(all));
}

std::string FabricSchedule::ToString() const {
  int used = 0;
  for (const LinkUse& use : links_) used += use.vectors > 0;
  return absl::StrCat(vectors_, " vectors over ", used, " links, last arrival @", last_arrival_);
}

}  // namespace lockstep
