// All-reduce of eight chips of a node: cycles and bandwidth by message size, hop-latency preset and
// phases, with the arithmetic model t = 2 (L + vectors * 23.616) beside it. Emulated time only: the
// same on every host. Usage: collective_bench [all-reduce|reduce-scatter|...] [BYTES]...
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "chip/check.h"
#include "fabric/link_model.h"
#include "runtime/collectives/node_collective.h"

namespace lockstep {
namespace {

constexpr int kChips = 8;

struct Point {
  int64_t cycles;
  bool direct;
};

Point Measure(CollectiveKind kind, int64_t bytes, const LinkModel& links, Phases phases) {
  ChipTiming timing = ChipTiming::Default();
  timing.receive_turnaround = static_cast<int32_t>(links.turnaround_cycles());
  Group group{kChips, 0, {-1, 0, 1, 2, 3, 4, 5, 6}, static_cast<int>(links.flight_cycles())};
  const auto program = CompileCollective(kind, bytes, group, timing, phases);
  LOCKSTEP_CHECK(program.ok(), "%s", program.status().ToString());
  const DispatchResult d = Dispatch(program->program, timing);
  LOCKSTEP_CHECK(!d.fault, "%s", d.fault->ToString());
  const int store = timing.d_func[static_cast<int>(Opcode::kReceive)] + timing.receive_turnaround;
  int64_t end = d.schedule.end;
  for (const Run& run : d.schedule.runs) {
    if (run.instr.op == Opcode::kReceive) end = std::max(end, run.last() + store + 1);
  }
  return {end, program->direct};
}

void Row(CollectiveKind kind, const char* preset, int64_t bytes, Phases phases) {
  const auto links = LinkModel::Create(preset);
  LOCKSTEP_CHECK(links.ok(), "%s", links.status().ToString());
  const Point p = Measure(kind, bytes, *links, phases);
  const double ns = static_cast<double>(p.cycles) / 0.9, size = static_cast<double>(bytes);
  const bool reduces = kind == CollectiveKind::kAllReduce;
  const double factor = reduces                              ? 2.0 * (kChips - 1) / kChips
                        : kind == CollectiveKind::kBroadcast ? 1.0
                                                             : 1.0 * (kChips - 1) / kChips;
  std::printf("%10lld  %s  %-10s %9lld %10.2f %9.2f %9.2f", static_cast<long long>(bytes), preset,
              p.direct                      ? "direct"
              : phases == Phases::kSeparate ? "separate"
                                            : "overlapped",
              static_cast<long long>(p.cycles), ns / 1e3, size / ns, factor * size / ns);
  if (reduces) {
    const double vectors = static_cast<double>((bytes / kChips + kVectorBytes - 1) / kVectorBytes);
    const double model = 2 * (static_cast<double>(links->hop_cycles()) + vectors * 23.616);
    std::printf(" %9.2f %+8.1f%%", factor * size / (model / 0.9),
                100 * (model / static_cast<double>(p.cycles) - 1));
  }
  std::printf("\n");
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  using namespace lockstep;
  const auto kind = CollectiveByName(argc > 1 ? argv[1] : "all-reduce");
  if (!kind.ok()) {
    std::fprintf(stderr, "%s\n", kind.status().ToString().c_str());
    return 2;
  }
  std::vector<int64_t> sizes;
  for (int i = 2; i < argc; ++i) sizes.push_back(std::atoll(argv[i]));
  if (sizes.empty()) sizes = {1280, 10240, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 24, 1 << 25};
  std::printf("%10s  %s %-10s %9s %10s %9s %9s %9s %9s\n", "bytes", "L", "phases", "cycles", "us",
              "algbw", "busbw", "model", "to model");
  for (const char* preset : {"A", "B", "C"}) {
    for (int64_t bytes : sizes) {
      for (Phases phases : {Phases::kSeparate, Phases::kOverlapped}) {
        Row(*kind, preset, bytes, phases);
      }
    }
  }
  return 0;
}
