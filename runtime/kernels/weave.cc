// Occupancy of slices and the text of woven queues (runtime/kernels/weave.h).
#include "runtime/kernels/weave.h"

#include <algorithm>

#include "chip/check.h"
#include "chip/instructions.h"

namespace lockstep {
namespace {

constexpr uint8_t kDispatch = 4, kWritePort = 8;  // 1, 2: the banks

uint8_t Needs(Weave::Access access, int address) {
  const uint8_t bank = address < kWordsPerBank ? 1 : 2;
  switch (access) {
    case Weave::Access::kRead:
      return bank | kDispatch;
    case Weave::Access::kWrite:
      return bank | kDispatch | kWritePort;
    case Weave::Access::kReceived:
      return bank | kWritePort;
  }
  return 0;
}

// Whether b is a repeated once more with address stride `stride`.
bool Continues(const Instruction& a, const Instruction& b, int32_t stride) {
  const bool strided = a.op == Opcode::kRead || a.op == Opcode::kWrite;
  if (!strided) return stride == 0 && a == b;
  Instruction next = a;
  next.arg[0] += stride;
  return next == b;
}

}  // namespace

bool Weave::Free(int slice, Access access, int address, int64_t cycle) const {
  return cycle >= 0 && (Taken(slice, cycle) & Needs(access, address)) == 0;
}

void Weave::Mark(int unit, int64_t cycle, uint8_t bits) {
  auto& pages = taken_[unit];
  const size_t page = static_cast<size_t>(cycle / kPage);
  if (page >= pages.size()) pages.resize(page + 1);
  if (!pages[page]) pages[page] = std::make_unique<Page>();
  (*pages[page])[cycle % kPage] |= bits;
}

void Weave::Take(int slice, Access access, int address, int64_t cycle) {
  LOCKSTEP_CHECK(Free(slice, access, address, cycle), "slice %d is busy at %d", slice, cycle);
  Mark(slice, cycle, Needs(access, address));
}

void Weave::TakeLink(int link, int64_t cycle) {
  LOCKSTEP_CHECK(LinkFree(link, cycle), "link %d is busy at %d", link, cycle);
  Mark(kSlices + link, cycle, 1);
}

Program Weave::Finish() {
  Program program;
  for (int q = 0; q < kQueues; ++q) {
    std::vector<Item>& items = items_[q];
    std::sort(items.begin(), items.end(),
              [](const Item& a, const Item& b) { return a.cycle < b.cycle; });
    std::vector<Instruction>& text = program.queues[q];
    int64_t now = 0;
    for (size_t i = 0; i < items.size();) {
      LOCKSTEP_CHECK(items[i].cycle >= now, "queue %d is busy at %d", q, items[i].cycle);
      for (; now < items[i].cycle; now += text.back().arg[0]) {
        text.push_back(ops::Nop(static_cast<int>(std::min<int64_t>(items[i].cycle - now, 65535))));
      }
      size_t end = i + 1;
      int64_t period = 1;
      int32_t stride = 0;
      if (end < items.size()) {
        period = items[end].cycle - items[i].cycle;
        stride = items[end].instr.arg[0] - items[i].instr.arg[0];
        while (end < items.size() && end - i < 65536 && period <= 65535 &&
               items[end].cycle - items[end - 1].cycle == period &&
               Continues(items[end - 1].instr, items[end].instr, stride)) {
          ++end;
        }
      }
      text.push_back(items[i].instr);
      if (end - i > 1) {
        Instruction& first = text.back();
        if (first.op == Opcode::kRead || first.op == Opcode::kWrite) first.arg[1] = stride;
        text.push_back(ops::Repeat(static_cast<int>(end - i - 1), static_cast<int>(period)));
      }
      now = items[end - 1].cycle + 1;
      i = end;
    }
  }
  return program;
}

}  // namespace lockstep
