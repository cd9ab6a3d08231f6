// The table of latencies and its origins (chip/latency.h).
#include "chip/latency.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {

struct OpLatency {
  Opcode op;
  int32_t cycles;
};

// Unpublished without exception (ISCA'20 section III names d_func but gives no values). Chosen
// small enough that all weights install in fewer than 40 cycles, which is published.
constexpr OpLatency kAssumed[] = {
    {Opcode::kIfetch, 2}, {Opcode::kNotify, 1}, {Opcode::kConfig, 1},
    {Opcode::kHac, 1}, {Opcode::kSac, 1},
    {Opcode::kRead, 3}, {Opcode::kWrite, 1}, {Opcode::kGather, 4}, {Opcode::kScatter, 1},
    {Opcode::kAdd, 2}, {Opcode::kSub, 2}, {Opcode::kMul, 2}, {Opcode::kMax, 2},
    {Opcode::kMin, 2}, {Opcode::kCmpEq, 2}, {Opcode::kCmpGt, 2}, {Opcode::kCmpGe, 2},
    {Opcode::kMask, 2}, {Opcode::kAnd, 2}, {Opcode::kOr, 2}, {Opcode::kXor, 2},
    {Opcode::kNegate, 2}, {Opcode::kAbs, 2}, {Opcode::kRelu, 2}, {Opcode::kTanh, 4},
    {Opcode::kExp, 4}, {Opcode::kRsqrt, 4}, {Opcode::kConvert, 2},
    {Opcode::kLw, 1}, {Opcode::kIw, 1}, {Opcode::kAbcLoad, 1}, {Opcode::kAbcFeed, 1},
    {Opcode::kAbcStream, 1}, {Opcode::kAcc, 1},
    {Opcode::kShift, 4}, {Opcode::kSelect, 4}, {Opcode::kPermute, 4}, {Opcode::kDistribute, 4},
    {Opcode::kRotate, 4}, {Opcode::kTranspose, 20},
    {Opcode::kSend, 1}, {Opcode::kReceive, 1}, {Opcode::kTransmit, 1},
};

constexpr absl::string_view kNone = "unpublished; our assumption";

}  // namespace

ChipTiming ChipTiming::Default() {
  ChipTiming t;
  for (const OpLatency& l : kAssumed) t.d_func[static_cast<int>(l.op)] = l.cycles;
  return t;
}

std::vector<ChipTiming::Parameter> ChipTiming::Parameters() const {
  std::vector<Parameter> out;
  for (const OpLatency& l : kAssumed) {
    out.push_back({Info(l.op).name, d_func[static_cast<int>(l.op)], true, kNone});
  }
  out.push_back({"barrier", barrier, false, "ISCA'20 section III-A2"});
  out.push_back({"mxm_array", mxm_array, true, "array depth 20 + 4; our assumption"});
  out.push_back({"receive_turnaround", receive_turnaround, true, "hop-latency preset"});
  out.push_back({"receive_fifo", receive_fifo, true,
                 "ISCA'22 section 4.4 says shallow; the depth is our assumption"});
  out.push_back({"link_ticks", link_ticks, false,
                 "328 B at 4 x 25 Gb/s (ISCA'22 section 2.3, Fig. 11), in 1/125 cycle"});
  return out;
}

absl::StatusOr<ChipTiming> ChipTiming::With(absl::string_view name, int32_t value) const {
  if (value < 0 || value > 1'000'000) {
    return absl::InvalidArgumentError(absl::StrCat("latency ", name, " = ", value,
                                                   " is not in 0..1000000"));
  }
  ChipTiming t = *this;
  for (const OpLatency& l : kAssumed) {
    if (Info(l.op).name != name) continue;
    if (value < 1) return absl::InvalidArgumentError(absl::StrCat("latency ", name, " must be >= 1"));
    t.d_func[static_cast<int>(l.op)] = value;
    return t;
  }
  int32_t* field = name == "barrier"              ? &t.barrier
                   : name == "mxm_array"          ? &t.mxm_array
                   : name == "receive_turnaround" ? &t.receive_turnaround
                   : name == "receive_fifo"       ? &t.receive_fifo
                   : name == "link_ticks"         ? &t.link_ticks
                                                  : nullptr;
  if (field == nullptr) return absl::NotFoundError(absl::StrCat("no latency is called ", name));
  if (value < 1 && field != &t.receive_turnaround) {
    return absl::InvalidArgumentError(absl::StrCat("latency ", name, " must be >= 1"));
  }
  *field = value;
  return t;
}

ChipTiming ChipTiming::Scaled(int percent) const {
  ChipTiming t = *this;
  const auto scale = [percent](int32_t v) { return std::max(1, v * percent / 100); };
  for (const OpLatency& l : kAssumed) {
    int32_t& d = t.d_func[static_cast<int>(l.op)];
    d = scale(d);
  }
  t.mxm_array = scale(mxm_array);
  return t;
}

}  // namespace lockstep
