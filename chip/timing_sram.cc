// Port and bank conflicts between runs (chip/timing_sram.h).
#include "chip/timing_sram.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {

// Number of dispatches whose address lies in the bank of the first one.
int32_t StaysInBank(const Run& run, int32_t address, int32_t stride) {
  if (stride == 0) return run.count;
  const int32_t inside = address % kWordsPerBank;
  const int32_t room = stride > 0 ? (kWordsPerBank - 1 - inside) / stride : inside / -stride;
  return std::min(run.count, room + 1);
}

}  // namespace

void SramCheck::Add(const Run& run, int32_t id, int64_t delay) {
  const Opcode op = run.instr.op;
  const bool receive = op == Opcode::kReceive;
  const int operand = receive ? 1 : 0;
  const int slice = receive ? run.instr.arg[0] : run.queue;
  Access access{{run.first + delay, run.period, run.count}, id, 0, 3,
                op != Opcode::kRead && op != Opcode::kGather, receive};
  if (op == Opcode::kGather || op == Opcode::kScatter) {
    slices_[slice].push_back(access);
    return;
  }
  const int32_t address = run.instr.arg[operand], stride = run.instr.arg[operand + 1];
  const int32_t before = StaysInBank(run, address, stride);
  access.banks = static_cast<uint8_t>(1 << (address / kWordsPerBank));
  access.cycles.count = before;
  slices_[slice].push_back(access);
  if (before == run.count) return;
  access.cycles = {run.cycle(before) + delay, run.period, run.count - before};
  access.first_iteration = before;
  access.banks ^= 3;
  slices_[slice].push_back(access);
}

void SramCheck::Check(const Schedule& schedule, EarliestFault& faults) {
  const auto earlier = [](const Access& a, const Access& b) {
    return a.cycles.first < b.cycles.first;
  };
  std::vector<Access> live;
  for (std::vector<Access>& slice : slices_) {
    if (!std::is_sorted(slice.begin(), slice.end(), earlier)) {
      std::stable_sort(slice.begin(), slice.end(), earlier);
    }
    live.clear();
    for (const Access& access : slice) {
      size_t kept = 0;
      for (size_t i = 0; i < live.size(); ++i) {
        if (live[i].cycles.last() < access.cycles.first) continue;
        OfferConflict(schedule, live[i], access, faults);
        live[kept++] = live[i];
      }
      live.resize(kept);
      live.push_back(access);
    }
  }
}

void SramCheck::OfferConflict(const Schedule& schedule, const Access& a, const Access& b,
                              EarliestFault& faults) const {
  const bool port = a.write == b.write;
  if (!port && (a.banks & b.banks) == 0) return;
  const Indices both = CommonIndices(a.cycles, b.cycles);
  if (both.count == 0) return;
  const int64_t cycle = a.cycles.at(both.first);
  const Run &ra = schedule.runs[a.run], &rb = schedule.runs[b.run];
  const bool a_later = rb.queue != ra.queue ? rb.queue < ra.queue : rb.index < ra.index;
  const Access &later = a_later ? a : b, &first = a_later ? b : a;
  const int64_t iteration =
      later.first_iteration + (cycle - later.cycles.first) / later.cycles.period;
  const int slice = first.receive ? schedule.runs[first.run].instr.arg[0]
                                  : schedule.runs[first.run].queue;
  faults.Offer(port ? FaultKind::kPortConflict : FaultKind::kBankConflict, later.run, iteration,
               later.receive ? Phase::kReceiveAccess : Phase::kDispatch, cycle,
               absl::StrCat("slice ", slice, " is accessed by ",
                            QueueName(schedule.runs[first.run].queue), " in this cycle"));
}

}  // namespace lockstep
