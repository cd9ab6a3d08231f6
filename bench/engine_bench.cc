// The functional engine at the chip's full weight-stream rate: all 64 streams carry 320 B of weights
// in every cycle, loaded by LW and multiplied as soon as a tile is complete; and plain copying.
#include <benchmark/benchmark.h>

#include "chip/functional.h"
#include "tests/chip/program_builder.h"

namespace lockstep {
namespace {

// Streams flow outward: slices of a hemisphere feed its MXM, one slice a stream, word after word.
void AddWeightStreams(ProgramBuilder& p, int cycles) {
  for (int h = 0; h < 2; ++h) {
    for (int s = 0; s < kStreamsPerDirection; ++s) {
      const int slice = SliceNumber(static_cast<Hemisphere>(h), s);
      // So that all streams of a hemisphere reach the MXM in one cycle.
      const int hops = h == 0 ? SlicePosition(slice) - kMxmWest : kMxmEast - SlicePosition(slice);
      p.At(20 - hops, MemQueue(slice), Op(Opcode::kRead, {0, 1, h == 0 ? W(s) : E(s)}), cycles);
    }
  }
}

// LW of 16 streams a plane and cycle, an install and a dot product for each `tile` cycles.
ProgramBuilder WeightProgram(int type, int tile, int tiles) {
  ProgramBuilder p;
  AddWeightStreams(p, tile * tiles);
  const int start = 20 + OpCycles(Opcode::kRead);
  for (int plane = 0; plane < kPlanes; ++plane) {
    const int odd = plane % 2;
    const int stream = (plane < 2 ? W(0) : E(0)) + 16 * odd;
    const int rows = type == kTypeF16 ? 8 : 16;
    // In f16 the planes fill one buffer: the even one rows 0..79, the odd one rows 80..159.
    const int first = type == kTypeF16 ? odd * 80 : 0;
    for (int k = 0; k < tiles; ++k) {
      p.At(start + k * tile, MxmQueue(plane, kMxmLw), Op(Opcode::kLw, {type, first, rows, 16, stream}),
           tile);
    }
    if (type == kTypeF16 && odd) continue;
    // Activations are whatever the first weights are.
    p.At(start, MxmQueue(plane, kMxmAbc), Op(Opcode::kAbcLoad, {type, 0, 0, stream}));
    p.At(start + tile, MxmQueue(plane, kMxmIw), Op(Opcode::kIw, {type}), tiles, tile);
    p.At(start + tile + 1, MxmQueue(plane, kMxmAbc), Op(Opcode::kAbcFeed, {type, 0, 0}), tiles, tile);
    p.At(start + tile + 1 + ChipTiming::Default().mxm_array, MxmQueue(plane, kMxmAcc),
         Op(Opcode::kAcc, {type, 0, 0, 1, kNoStream}), tiles, tile);
  }
  return p;
}

void FillWeights(FunctionalEngine& engine, int words) {
  std::mt19937 random(1);
  for (int s = 0; s < kSlices; ++s) {
    for (int a = 0; a < words; ++a) {
      Vector v = RandomVector(random);
      // Finite fp16 values of usual sizes in odd slices, any byte in even ones.
      if (s % 2 == 1) {
        for (uint8_t& b : v.bytes) b = static_cast<uint8_t>((b & 0x83) | 0x30);
      }
      engine.sram().Store(s, a, v);
    }
  }
}

void RunProgram(benchmark::State& state, const ProgramBuilder& p, int words, int64_t moved) {
  FunctionalEngine engine(0, ChipTiming::Default());
  FillWeights(engine, words);
  const auto program = std::make_shared<const PreparedProgram>(p.Scheduled());
  NoLinks port;
  for (auto _ : state) {
    engine.StartPrepared(program);
    if (engine.Run(port) != EngineState::kDone) {
      state.SkipWithError(engine.fault().detail.c_str());
      break;
    }
  }
  using benchmark::Counter;
  state.counters["cycles"] = Counter(program->schedule().end, Counter::kIsIterationInvariantRate);
  state.counters["dispatches"] =
      Counter(program->schedule().dispatches, Counter::kIsIterationInvariantRate);
  state.SetBytesProcessed(state.iterations() * moved);
}

// Argument: words a slice that are streamed before the addresses begin anew (cache or memory).
void BM_WeightStreamF16(benchmark::State& state) {
  const int tiles = static_cast<int>(state.range(0));
  RunProgram(state, WeightProgram(kTypeF16, 10, tiles), 10 * tiles, int64_t{20480} * 10 * tiles);
}
void BM_WeightStreamI8(benchmark::State& state) {
  const int tiles = static_cast<int>(state.range(0));
  RunProgram(state, WeightProgram(kTypeI8, 20, tiles), 20 * tiles, int64_t{20480} * 20 * tiles);
}

// All west slices but one column read, all east slices write: 32 copies a cycle.
void BM_ReadWrite(benchmark::State& state) {
  constexpr int kCycles = 4096;
  ProgramBuilder p;
  for (int s = 0; s < kStreamsPerDirection; ++s) {
    p.At(0, MemQueue(s), Op(Opcode::kRead, {0, 1, E(s)}), kCycles);
    const int to = SliceNumber(Hemisphere::kEast, s);
    p.At(OpCycles(Opcode::kRead) + SlicePosition(to) - SlicePosition(s), MemQueue(to),
         Op(Opcode::kWrite, {0, 1, E(s)}), kCycles);
  }
  RunProgram(state, p, kCycles, int64_t{2} * kCycles * kStreamsPerDirection * kVectorBytes);
}

// Chained ALUs on resident vectors: read, 16 dependent fp32 additions, write.
void BM_AluChain(benchmark::State& state) {
  constexpr int kTimes = 1000;
  ProgramBuilder p;
  for (int j = 0; j < 4; ++j) {
    p.At(0, MemQueue(j), Op(Opcode::kRead, {0, 0, E(j)}), kTimes, 64);
  }
  const int start = OpCycles(Opcode::kRead) + 1;
  for (int a = 0; a < 16; ++a) {
    p.At(start + a * OpCycles(Opcode::kAdd), VxmQueue(a),
         Op(Opcode::kAdd, {kTypeF32, 0, E(a % 2 * 4), kNoStream, 0x3f800000, E((a + 1) % 2 * 4)}),
         kTimes, 64);
  }
  RunProgram(state, p, 1, 0);
}

BENCHMARK(BM_WeightStreamF16)->Arg(20)->Arg(300);
BENCHMARK(BM_WeightStreamI8)->Arg(10)->Arg(150);
BENCHMARK(BM_ReadWrite);
BENCHMARK(BM_AluChain);

}  // namespace
}  // namespace lockstep

BENCHMARK_MAIN();
