// V2, V4: the MXM at its peak rate, and how long its weights take to install.
#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "chip/half.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "runtime/kernels/matvec.h"
#include "runtime/kernels/place.h"
#include "runtime/validation/validate_figures.h"
#include "runtime/validation/validate_testbed.h"

namespace lockstep {
namespace {

constexpr Hemisphere kSides[] = {Hemisphere::kWest, Hemisphere::kEast};
constexpr int kLoadCycles = kLanes / 16;  // of an int8 plane on 16 streams

int D(const ChipTiming& timing, Opcode op) { return timing.d_func[static_cast<int>(op)]; }

// All planes filled from 64 slices; the planes' first row arrives in cycle `at`.
void InstallAll(Block& b, const ChipTiming& timing, int type, int64_t at) {
  const int cycles = type == kTypeI8 ? kLoadCycles : kLoadCycles / 2;
  for (const Hemisphere side : kSides) {
    const TandemPlanes mxm{timing, side};
    mxm.Stream(b, 0, cycles, at);
    const int64_t install = mxm.InstallAt(at + cycles - 1);
    if (type == kTypeF16) {
      mxm.LoadTile(b, cycles, at);
      mxm.Install(b, install);
      continue;
    }
    for (int p = 0; p < 2; ++p) {
      b.At(MxmQueue(mxm.plane() + p, kMxmLw), ops::Lw(type, 0, 16, 16, mxm.InStream(16 * p)), at,
           cycles);
      b.At(MxmQueue(mxm.plane() + p, kMxmIw), ops::Iw(type), install);
    }
  }
}

int64_t InstalledAt(const ChipTiming& timing, int type, int64_t at) {
  const int cycles = type == kTypeI8 ? kLoadCycles : kLoadCycles / 2;
  return at + cycles - 1 + D(timing, Opcode::kLw) + D(timing, Opcode::kIw);
}

constexpr int kFeeds = 512;
constexpr int64_t kStart = 64;

// Every array takes a row of activations from SRAM each cycle, and its results go back to SRAM.
Block Saturate(const ChipTiming& timing, int type) {
  Block b("saturate");
  InstallAll(b, timing, type, kStart);
  // The weights' streams are free again when the last of them has arrived.
  const int64_t feed = InstalledAt(timing, type, kStart) + 1;
  const int arrays = type == kTypeI8 ? 2 : 1;
  const int width = TypeBytes(type);
  for (const Hemisphere side : kSides) {
    const TandemPlanes mxm{timing, side};
    for (int p = 0; p < arrays; ++p) {
      const int plane = mxm.plane() + p, in = mxm.InStream(width * p), out = mxm.OutStream(4 * p);
      for (int k = 0; k < width; ++k) {
        const int slice = SliceNumber(side, 8 + p * width + k);
        const int64_t read =
            feed - Hops(SlicePosition(slice), mxm.position()) - mxm.d(Opcode::kRead);
        b.At(MemQueue(slice), ops::Read(0, 1, in + k), read, kFeeds);
      }
      b.At(MxmQueue(plane, kMxmAbc), ops::AbcStream(type, 0, in), feed, kFeeds);
      const int64_t take = mxm.ResultAt(feed);
      b.At(MxmQueue(plane, kMxmAcc), ops::Acc(type, 0, 0, 0, out), take, kFeeds);
      mxm.StoreResult(b, out, {side, p, 0}, take, kFeeds);
    }
  }
  return b;
}

// Weights and activations are all ones, so each result is the number of products summed in it.
void StoreOnes(Sram& sram, int type) {
  for (int s = 0; s < kSlices; ++s) {
    const int rank = s % kSlicesPerHemisphere;
    const bool weights = rank >= kWeightRank;
    const uint16_t one = FloatToHalf(1.0f);
    const bool high = (weights ? rank - kWeightRank : rank - 8) % 2 == 1;
    Vector v;
    v.bytes.fill(static_cast<uint8_t>(type == kTypeI8 ? 1 : high ? one >> 8 : one & 0xff));
    if (!weights && rank < 8) continue;
    for (int a = 0; a < (weights ? kLoadCycles : kFeeds); ++a) sram.Store(s, a, v);
  }
}

// Products summed over all lanes of the last result of an array.
double ProductsAfterOneFeed(const Sram& sram, int type) {
  Vector plane[4];
  for (int k = 0; k < 4; ++k)
    plane[k] = sram.Load(ColumnSlice(Hemisphere::kEast, 0, k), kFeeds - 1);
  double sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    uint32_t bits = 0;
    for (int k = 0; k < 4; ++k) bits |= uint32_t{plane[k].bytes[lane]} << (8 * k);
    sum += type == kTypeI8 ? static_cast<double>(bits) : std::bit_cast<float>(bits);
  }
  return sum;
}

struct Peak {
  Execution run;
  double feeds_per_cycle = 0, products_per_feed = 0;
  double Tera() const { return 2 * feeds_per_cycle * products_per_feed * kClockGhz / 1000; }
};

Peak MeasurePeak(const ChipTiming& timing, int type) {
  Peak peak;
  peak.run = RunBoth(
      ToProgram(Saturate(timing, type), timing), timing, [type](Sram& s) { StoreOnes(s, type); },
      [&](Sram& s) { peak.products_per_feed = ProductsAfterOneFeed(s, type); });
  if (peak.run.fault) return peak;
  const int64_t first = peak.run.First(Opcode::kAbcStream);
  peak.feeds_per_cycle =
      static_cast<double>(peak.run.CountIn(Opcode::kAbcStream, first, first + kFeeds)) / kFeeds;
  return peak;
}

Rows PeakRows(const Figure& arithmetic, const Figure& brief, const Peak& peak) {
  if (peak.run.fault) return {Unmeasured(arithmetic, peak.run.Problem())};
  const std::string note =
      absl::StrCat(peak.feeds_per_cycle, " feeds a cycle x ", peak.products_per_feed,
                   " products summed by a feed (all-ones operands), at 0.9 GHz");
  return {Judge(arithmetic, peak.Tera(), note),
          Judge(brief, peak.Tera(), "the product brief rounds, or assumes some 916 MHz")};
}

}  // namespace

Rows ValidateMxmPeak(const ValidationOptions& options) {
  constexpr double kInt8 = 737.28, kFp16 = 184.32, kSlack = 1e-6;
  Rows rows = PeakRows({"V2", FigureClass::kAnalytic, "int8 peak", "737.3 TOPS", "TOPS",
                        kInt8 - kSlack, kInt8 + kSlack, "exact", "ISCA'20 III-D, at 0.9 GHz"},
                       {"V2", FigureClass::kAnalytic, "int8 peak of the product brief", "750 TOPS",
                        "TOPS", 735, 765, "2 %", "GroqChip brief 1.5"},
                       MeasurePeak(options.timing, kTypeI8));
  const Rows fp16 = PeakRows({"V2", FigureClass::kAnalytic, "fp16 peak", "184.3 TFLOPS", "TFLOPS",
                              kFp16 - kSlack, kFp16 + kSlack, "exact", "ISCA'22 5.1, at 0.9 GHz"},
                             {"V2", FigureClass::kAnalytic, "fp16 peak of the product brief",
                              "188 TFLOPS", "TFLOPS", 184.24, 191.76, "2 %", "GroqChip brief 1.5"},
                             MeasurePeak(options.timing, kTypeF16));
  rows.insert(rows.end(), fp16.begin(), fp16.end());
  return rows;
}

Rows ValidateWeightInstall(const ValidationOptions& options) {
  const Figure figure = {"V4",
                         FigureClass::kMeasured,
                         "all 409600 weights, SRAM to installed",
                         "< 40 cycles",
                         "cycles",
                         20,
                         39,
                         "20 to 39",
                         "ISCA'20 V-b"};
  const ChipTiming& timing = options.timing;
  Block b("install");
  InstallAll(b, timing, kTypeI8, kStart);
  const int64_t installed = InstalledAt(timing, kTypeI8, kStart);
  const int64_t one_feed[] = {installed, installed - 1};
  Execution runs[2];
  for (int early = 0; early < 2; ++early) {
    Block with = b;
    for (int plane = 0; plane < kPlanes; ++plane) {
      const int slice = plane < 2 ? 8 : kSlicesPerHemisphere + 8;
      const int stream = StreamNumber(plane < 2 ? Direction::kWest : Direction::kEast, 0);
      const int64_t read = one_feed[early] - Hops(SlicePosition(slice), PlanePosition(plane)) -
                           D(timing, Opcode::kRead);
      if (plane % 2 == 0) with.At(MemQueue(slice), ops::Read(0, 0, stream), read);
      with.At(MxmQueue(plane, kMxmAbc), ops::AbcStream(kTypeI8, 0, stream), one_feed[early]);
    }
    runs[early] = RunBoth(ToProgram(with, timing), timing);
  }
  if (runs[0].fault) return {Unmeasured(figure, runs[0].Problem())};
  if (!runs[1].Refused())
    return {Unmeasured(figure, "a feed before the end of the install is legal")};
  const int64_t cycles = runs[0].First(Opcode::kAbcStream) - runs[0].First(Opcode::kRead);
  return {
      Judge(figure, static_cast<double>(cycles),
            absl::StrCat("from the first read to the first legal feed; a feed one cycle earlier: ",
                         FaultName(runs[1].fault->kind)))};
}

}  // namespace lockstep
