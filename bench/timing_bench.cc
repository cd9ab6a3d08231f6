// Speed of the timing engine: runs checked a second, and vector operations emulated a second.
//
//   LongRuns    32 slices read, 16 ALUs add, 16 slices write, each run a full bank long at one
//               vector a cycle and stream
//   ShortRuns   the same traffic in runs of a few dispatches, as compiled kernels have it
//   WeightLoad  all 64 streams into four planes' weight buffers, an install every 20 cycles
//   NextChip    another chip with a program already checked: the walk and the digest alone
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "chip/no_links.h"
#include "chip/timing.h"

namespace lockstep {
namespace {

struct Builder {
  std::shared_ptr<Schedule> schedule = std::make_shared<Schedule>();
  std::array<int32_t, kQueues> index{};

  void Add(int queue, int64_t first, Opcode op, std::array<int32_t, kMaxOperands> arg,
           int32_t count, int32_t period = 1) {
    Instruction in;
    in.op = op;
    in.arg = arg;
    schedule->runs.push_back({in, queue, index[queue]++, first, count, period});
    schedule->dispatches += count;
    schedule->end = std::max(schedule->end, schedule->runs.back().last() + 1);
  }
  std::shared_ptr<const Schedule> Finish() {
    std::stable_sort(schedule->runs.begin(), schedule->runs.end(), [](const Run& a, const Run& b) {
      return a.first != b.first ? a.first < b.first : a.queue < b.queue;
    });
    return schedule;
  }
};

// 32 reads feed 16 additions, whose results 16 slices store; `count` dispatches a run, one a cycle,
// `blocks` times. Reads of the west flow east and the reverse.
std::shared_ptr<const Schedule> Traffic(int count, int blocks) {
  Builder b;
  const auto hops = [](int slice) { return std::abs(SlicePosition(slice) - kVxm); };
  for (int k = 0; k < blocks; ++k) {
    const int64_t at = 20 + int64_t{k} * (count + 1);  // the cycle of the additions
    const int32_t bank = k % 2 * kWordsPerBank;
    for (int i = 0; i < 16; ++i) {
      for (int slice : {i, kSlicesPerHemisphere + i}) {
        const int stream = slice < kSlicesPerHemisphere ? i : 32 + i;
        b.Add(slice, at - 3 - hops(slice), Opcode::kRead, {bank, 1, stream}, count);
      }
      const int out = 16 + i, sink = kSlicesPerHemisphere + 16 + i;
      b.Add(VxmQueue(i), at, Opcode::kAdd, {kTypeI8, 0, i, 32 + i, 0, out}, count);
      b.Add(sink, at + 2 + hops(sink), Opcode::kWrite, {bank, 1, out}, count);
    }
  }
  return b.Finish();
}

// Weights from 16 slices a hemisphere and direction into the planes, `tiles` times.
std::shared_ptr<const Schedule> Weights(int tiles) {
  Builder b;
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 32; ++i) {
      const int slice = half * kSlicesPerHemisphere + i;
      const int end = half == 0 ? kMxmWest : kMxmEast;
      const int64_t at = 40 - 3 - std::abs(SlicePosition(slice) - end);
      b.Add(slice, at, Opcode::kRead, {0, 0, (half == 0 ? 32 : 0) + i}, 20 * tiles);
    }
    for (int p = 0; p < 2; ++p) {
      const int plane = half * 2 + p, stream = (half == 0 ? 32 : 0) + 16 * p;
      for (int k = 0; k < tiles; ++k) {
        b.Add(MxmQueue(plane, kMxmLw), 40 + 20 * k, Opcode::kLw, {kTypeI8, 0, 16, 16, stream}, 20);
      }
      b.Add(MxmQueue(plane, kMxmIw), 60, Opcode::kIw, {kTypeI8}, tiles, 20);
    }
  }
  return b.Finish();
}

void Count(benchmark::State& state, const Schedule& schedule) {
  const auto rate = [&](double n) {
    return benchmark::Counter(n * static_cast<double>(state.iterations()),
                              benchmark::Counter::kIsRate);
  };
  state.counters["runs/s"] = rate(static_cast<double>(schedule.runs.size()));
  state.counters["vector_ops/s"] = rate(static_cast<double>(schedule.dispatches));
  state.counters["chip_cycles/s"] = rate(static_cast<double>(schedule.end));
}

void CheckEach(benchmark::State& state, const std::shared_ptr<const Schedule>& schedule) {
  NoLinks port;
  for (auto _ : state) {
    TimingEngine engine(0, ChipTiming::Default());
    engine.Start(schedule);
    if (engine.Run(port) != EngineState::kDone) {
      state.SkipWithError(engine.fault().detail.c_str());
      return;
    }
    benchmark::DoNotOptimize(engine.timing_digest());
  }
  Count(state, *schedule);
}

void LongRuns(benchmark::State& state) { CheckEach(state, Traffic(4096, 64)); }
void ShortRuns(benchmark::State& state) {
  CheckEach(state, Traffic(static_cast<int>(state.range(0)), 1000));
}
void WeightLoad(benchmark::State& state) { CheckEach(state, Weights(200)); }

void NextChip(benchmark::State& state) {
  const std::shared_ptr<const Schedule> schedule = Traffic(8, 1000);
  const auto cache = std::make_shared<CheckCache>(ChipTiming::Default());
  NoLinks port;
  for (auto _ : state) {
    TimingEngine engine(0, cache);
    engine.Start(schedule);
    engine.Run(port);
    benchmark::DoNotOptimize(engine.timing_digest());
  }
  Count(state, *schedule);
}

BENCHMARK(LongRuns);
BENCHMARK(ShortRuns)->Arg(1)->Arg(8)->Arg(40);
BENCHMARK(WeightLoad);
BENCHMARK(NextChip);

}  // namespace
}  // namespace lockstep

BENCHMARK_MAIN();
