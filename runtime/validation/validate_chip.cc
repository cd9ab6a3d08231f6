// V1, V3, V5, V6: SRAM, stream bandwidth, barrier, and the time of an instruction.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "runtime/kernels/place.h"
#include "runtime/validation/validate_figures.h"
#include "runtime/validation/validate_testbed.h"

namespace lockstep {
namespace {

int D(const ChipTiming& timing, Opcode op) { return timing.d_func[static_cast<int>(op)]; }

// --- V1 ---

constexpr std::array<int, 4> kEdges = {0, kWordsPerBank - 1, kWordsPerBank, kWordsPerSlice - 1};

Vector Mark(int slice, int address) {
  Vector v;
  for (int lane = 0; lane < kLanes; ++lane) {
    v.bytes[lane] = static_cast<uint8_t>(slice * 37 + address * 101 + address / 4096 + lane);
  }
  return v;
}

// Swaps the first and last words of both banks of every western slice with its eastern mirror's.
Program SwapEdges(const ChipTiming& timing) {
  Block b("swap");
  const int apart = 2 * kPositions + D(timing, Opcode::kRead);
  for (int rank = 0; rank < kSlicesPerHemisphere; ++rank) {
    for (size_t i = 0; i < kEdges.size(); ++i) {
      const int64_t at = static_cast<int64_t>(rank * kEdges.size() + i) * apart;
      for (const Hemisphere side : {Hemisphere::kWest, Hemisphere::kEast}) {
        const int from = SliceNumber(side, rank), to = SliceNumber(Other(side), rank);
        const int stream = StreamNumber(Inward(side), 0);
        const int hops = Hops(SlicePosition(from), SlicePosition(to));
        b.At(MemQueue(from), ops::Read(kEdges[i], 0, stream), at);
        b.At(MemQueue(to), ops::Write(kEdges[i], 0, stream), at + D(timing, Opcode::kRead) + hops);
      }
    }
  }
  return ToProgram(b, timing);
}

// The first address from 0 on that a read may not name.
int FirstBadAddress(const ChipTiming& timing) {
  int good = 0, bad = 1 << 20;
  while (bad - good > 1) {
    const int middle = (good + bad) / 2;
    Program program;
    program.queues[MemQueue(0)] = {ops::Read(middle, 0, ops::East(0))};
    (RunTiming(program, timing).fault ? bad : good) = middle;
  }
  return bad;
}

// --- V3 ---

// Copies `cycles` words from bank 0 of each `from` slice to bank 1 of its `to` slice, through
// streams; every slice reads and writes in one cycle once the pipe is full.
struct Copy {
  int from, to, stream;
};

Program Copies(const std::vector<Copy>& copies, const ChipTiming& timing, int cycles,
               int write_bank) {
  Program program;
  for (const Copy& copy : copies) {
    // As `from` is also the `to` of its mirror image, it writes after the same lag as it feeds.
    const int lag =
        D(timing, Opcode::kRead) + Hops(SlicePosition(copy.from), SlicePosition(copy.to));
    int writes = copy.stream;
    for (const Copy& other : copies) writes = other.to == copy.from ? other.stream : writes;
    const int target = write_bank * kWordsPerBank;
    Instruction joined = ops::Write(target, 1, writes);
    joined.joined = true;
    std::vector<Instruction>& text = program.queues[MemQueue(copy.from)];
    text = {ops::Read(0, 1, copy.stream)};
    if (lag > 1) text.push_back(ops::Repeat(lag - 1, 1));
    text.insert(text.end(), {ops::Read(lag, 1, copy.stream), joined, ops::Repeat(cycles - 1, 1)});
    text.push_back(ops::Write(target + cycles, 1, writes));
    if (lag > 1) text.push_back(ops::Repeat(lag - 1, 1));
  }
  return program;
}

// 32 slices of each hemisphere send a stream across the VXM to their mirror image.
std::vector<Copy> AcrossTheChip() {
  std::vector<Copy> copies;
  for (const Hemisphere side : {Hemisphere::kWest, Hemisphere::kEast}) {
    for (int i = 0; i < kStreamsPerDirection; ++i) {
      const int rank = i < 31 ? i : 32;  // rank 31 stays free for one access more
      copies.push_back(
          {SliceNumber(side, rank), SliceNumber(Other(side), rank), StreamNumber(Inward(side), i)});
    }
  }
  return copies;
}

// Every slice copies from its one bank to its other.
std::vector<Copy> WithinSlices() {
  std::vector<Copy> copies;
  for (int s = 0; s < kSlices; ++s) copies.push_back({s, s, ops::East(s % kSlicesPerColumn)});
  return copies;
}

// Bytes of MEM accesses a cycle over the `cycles` in which all slices are busy.
double BytesPerCycle(const Execution& run, int64_t from, int cycles, bool writes_too) {
  int64_t accesses = run.CountIn(Opcode::kRead, from, from + cycles);
  if (writes_too) accesses += run.CountIn(Opcode::kWrite, from, from + cycles);
  return static_cast<double>(accesses) * kVectorBytes / cycles;
}

constexpr int kSteady = 256;

ValidationRow StreamRow(const ChipTiming& timing) {
  const Figure figure = {"V3",
                         FigureClass::kAnalytic,
                         "Eq. 1: streams at a MEM interface",
                         "20480 B/cycle",
                         "B/cycle",
                         20480,
                         20480,
                         "exact",
                         "ISCA'20 Eq. 1"};
  Program program = Copies(AcrossTheChip(), timing, kSteady, 1);
  const Execution run = RunBoth(program, timing);
  if (run.fault) return Unmeasured(figure, run.Problem());
  // The mirror images farthest apart (rank 32) fill their pipe last, rank 0 first runs dry.
  const int64_t from = D(timing, Opcode::kRead) + Hops(SlicePosition(32), SlicePosition(76));
  const double measured = BytesPerCycle(run, from, kSteady / 2, false);
  // One more read, of the idle slice of a full column, on a stream of its neighbour.
  program.queues[MemQueue(31)] = {ops::Nop(static_cast<int>(from)), ops::Read(0, 0, ops::East(30))};
  const Execution more = RunBoth(program, timing);
  if (!more.Refused())
    return Unmeasured(figure, "a vector more than the streams hold broke no rule");
  return Judge(figure, measured,
               absl::StrCat("64 slices read and 64 write each cycle, all across the VXM; one read "
                            "more: ",
                            FaultName(more.fault->kind)));
}

ValidationRow SramRow(const ChipTiming& timing) {
  const Figure figure = {"V3",
                         FigureClass::kAnalytic,
                         "Eq. 2: SRAM, all slices read and write",
                         "56320 B/cycle",
                         "B/cycle",
                         56320,
                         56320,
                         "exact",
                         "ISCA'20 Eq. 2"};
  const Execution run = RunBoth(Copies(WithinSlices(), timing, kSteady, 1), timing);
  if (run.fault) return Unmeasured(figure, run.Problem());
  const double measured = BytesPerCycle(run, D(timing, Opcode::kRead), kSteady, true);
  const Execution same_bank = RunBoth(Copies(WithinSlices(), timing, kSteady, 0), timing);
  Program third = Copies(WithinSlices(), timing, kSteady, 1);
  Instruction extra = ops::Read(0, 0, ops::East(8));
  extra.joined = true;
  third.queues[0].insert(third.queues[0].end(), {ops::Read(0, 0, ops::East(9)), extra});
  const Execution more = RunBoth(third, timing);
  if (!same_bank.Refused() || !more.Refused()) {
    return Unmeasured(figure, "one access more broke no rule");
  }
  return Judge(figure, measured,
               absl::StrCat("reads and writes joined, in different banks; in one bank: ",
                            FaultName(same_bank.fault->kind),
                            "; a second read: ", FaultName(more.fault->kind)));
}

ValidationRow FetchRow(const ChipTiming& timing) {
  const Figure figure = {"V3",
                         FigureClass::kAnalytic,
                         "instruction text of all queues",
                         "2304 B/cycle",
                         "B/cycle",
                         2304,
                         2304,
                         "exact",
                         "ISCA'20 II-B"};
  Program program;
  for (auto& queue : program.queues) queue.assign(kSteady, {Opcode::kConfig, false, {kSuperlanes}});
  const Execution run = RunBoth(program, timing);
  if (run.fault) return Unmeasured(figure, run.Problem());
  return Judge(figure, static_cast<double>(run.text_bytes) / static_cast<double>(run.end),
               "144 queues dispatch one 16-byte instruction each cycle; a joined MEM pair is two "
               "instructions in one cycle and goes beyond this ceiling");
}

// --- V6 ---

// Cycles from a dispatch to the only later one at which `reader` finds the result; -1: never.
int64_t CyclesToResult(Block block, int queue, const Instruction& reader, int64_t dispatched,
                       const ChipTiming& timing) {
  for (int64_t wait = 0; wait < 200; ++wait) {
    Block with = block;
    with.At(queue, reader, dispatched + wait);
    if (!RunBoth(ToProgram(with, timing), timing).fault) return wait;
  }
  return -1;
}

struct Pair6 {
  std::string name;
  int64_t measured, expected;
};

std::vector<Pair6> MeasurePairs(const ChipTiming& timing) {
  const int d_read = D(timing, Opcode::kRead);
  std::vector<Pair6> pairs;
  const auto measure = [&](std::string name, const Block& block, Opcode op, int from, int to_slice,
                           int stream, int64_t at) {
    const int64_t wait =
        CyclesToResult(block, MemQueue(to_slice), ops::Write(1, 0, stream), at, timing);
    pairs.push_back({std::move(name), wait, D(timing, op) + Hops(from, SlicePosition(to_slice))});
  };
  for (const auto& [from, to] : {std::pair(0, 43), {43, 44}, {87, 0}, {50, 51}}) {
    const bool east = SlicePosition(from) <= SlicePosition(to);
    Block b("mem to mem");
    const int stream = east ? ops::East(3) : ops::West(3);
    b.At(MemQueue(from), ops::Read(0, 0, stream), 40);
    measure(absl::StrCat("mem", from, " to mem", to), b, Opcode::kRead, SlicePosition(from), to,
            stream, 40);
  }
  Block add("vxm");
  const int64_t at_vxm = 40 + d_read + Hops(SlicePosition(4), kVxm);
  add.At(MemQueue(4), ops::Read(0, 0, ops::East(0)), 40);
  add.At(VxmQueue(5), ops::Unary(Opcode::kNegate, kTypeI8, ops::East(0), ops::East(9)), at_vxm);
  measure("vxm to mem87", add, Opcode::kNegate, kVxm, 87, ops::East(9), at_vxm);
  Block shift("sxm");
  const int64_t at_sxm = 40 + d_read + Hops(SlicePosition(4), kSxmWest);
  shift.At(MemQueue(4), ops::Read(0, 0, ops::West(0)), 40);
  shift.At(SxmQueue(Hemisphere::kWest, 2), ops::Shift(1, 1, 0, ops::West(0), ops::East(6)), at_sxm);
  measure("sxmw to mem20", shift, Opcode::kShift, kSxmWest, 20, ops::East(6), at_sxm);
  return pairs;
}

}  // namespace

Rows ValidateSram(const ValidationOptions& options) {
  const Figure bytes = {"V1",      FigureClass::kExact, "SRAM of a chip", "230686720 B", "B",
                        230686720, 230686720,           "exact",          "ISCA'20 II-B"};
  const Figure edge = {"V1",
                       FigureClass::kExact,
                       "banks whose first and last word hold a value",
                       "176",
                       "banks",
                       176,
                       176,
                       "exact",
                       "ISCA'20 III-B"};
  const Figure unused = {"V1",
                         FigureClass::kExact,
                         "SRAM backed by the host before it is used",
                         "none (a rule of the emulator)",
                         "B",
                         0,
                         0,
                         "exact",
                         "design"};
  int64_t untouched = -1;
  std::set<std::pair<int, int>> good;
  const Execution run = RunBoth(
      SwapEdges(options.timing), options.timing,
      [&](Sram& sram) {
        untouched = sram.TouchedBytes();
        for (int s = 0; s < kSlices; ++s) {
          for (int address : kEdges) sram.Store(s, address, Mark(s, address));
        }
      },
      [&](Sram& sram) {
        for (int s = 0; s < kSlices; ++s) {
          const int mirror = (s + kSlicesPerHemisphere) % kSlices;
          for (int bank = 0; bank < kBanksPerSlice; ++bank) {
            const int first = bank * kWordsPerBank, last = first + kWordsPerBank - 1;
            if (sram.Load(s, first) == Mark(mirror, first) &&
                sram.Load(s, last) == Mark(mirror, last)) {
              good.insert({s, bank});
            }
          }
        }
      });
  if (run.fault) return {Unmeasured(bytes, run.Problem()), Unmeasured(edge, run.Problem())};
  const int64_t words = FirstBadAddress(options.timing);
  return {
      Judge(bytes, static_cast<double>(kSlices * words * kVectorBytes),
            absl::StrCat("88 slices x ", words, " addresses that a read may name x 320 B")),
      Judge(edge, static_cast<double>(good.size()), "a program swaps them between the hemispheres"),
      Judge(unused, static_cast<double>(untouched))};
}

Rows ValidateStreamBandwidth(const ValidationOptions& options) {
  return {StreamRow(options.timing), SramRow(options.timing), FetchRow(options.timing)};
}

Rows ValidateBarrier(const ValidationOptions& options) {
  const Figure figure = {"V5",
                         FigureClass::kMeasured,
                         "barrier: notify to the release of 144 queues",
                         "35 cycles",
                         "cycles",
                         35,
                         35,
                         "exact",
                         "ISCA'20 III-A2"};
  constexpr int kNotifyAt = 20;
  Program program;
  for (int q = 0; q < kQueues; ++q) {
    std::vector<Instruction>& text = program.queues[q];
    // The notifier parks itself after it has notified; the others arrive at different times.
    if (q == 0) text = {ops::Nop(kNotifyAt), {Opcode::kNotify, false, {}}};
    if (q > 0 && q % 20 > 0) text = {ops::Nop(q % 20)};
    text.push_back({Opcode::kSync, false, {}});
    text.push_back({Opcode::kConfig, false, {kSuperlanes}});
  }
  const Execution run = RunBoth(program, options.timing);
  if (run.fault) return {Unmeasured(figure, run.Problem())};
  const int64_t first = run.First(Opcode::kConfig), last = run.Last(Opcode::kConfig);
  const int64_t released = run.CountIn(Opcode::kConfig, first, first + 1);
  if (first != last || released != kQueues) {
    return {
        Unmeasured(figure, absl::StrCat("only ", released, " queues went on in cycle ", first))};
  }
  return {
      Judge(figure, static_cast<double>(first - run.First(Opcode::kNotify)),
            "35 is an input of the machine (latency `barrier`); what is shown is that every queue "
            "keeps it")};
}

Rows ValidateEquation4(const ValidationOptions& options) {
  const Figure stagger = {"V6",
                          FigureClass::kAnalytic,
                          "superlanes a 320-byte vector crosses (N)",
                          "20 cycles",
                          "cycles",
                          20,
                          20,
                          "exact",
                          "ISCA'20 V-c"};
  const Figure equation = {"V6",
                           FigureClass::kAnalytic,
                           "largest deviation from T = N + d_func + hops",
                           "0 cycles",
                           "cycles",
                           0,
                           0,
                           "exact",
                           "ISCA'20 Eq. 4"};
  int64_t worst = 0;
  std::string note = "T at superlane 0, plus N = 20 for the last one, of";
  for (const Pair6& pair : MeasurePairs(options.timing)) {
    if (pair.measured < 0) {
      return {Unmeasured(equation, absl::StrCat(pair.name, ": the result is never found"))};
    }
    worst = std::max(worst, std::abs(pair.measured - pair.expected));
    absl::StrAppend(&note, " ", pair.name, " ", pair.measured + kSuperlanes, ";");
  }
  return {Judge(stagger, static_cast<double>(kVectorBytes) / kLanesPerSuperlane,
                "computed from the geometry: the engines time superlane 0, superlane k lags by k"),
          Judge(equation, static_cast<double>(worst),
                absl::StrCat(note, " d_func from the table of latencies, cycle found by trial"))};
}

}  // namespace lockstep
