// A decode step of a feed-forward layer, 576 -> 1536 -> 576 in fp16, on one chip: gate, up, SwiGLU
// and down as compiled by runtime/kernels/matvec.h and runtime/kernels/kernels.h, from a loaded
// program to the result. The same in a plain fp32 loop stands beside it, and the results are
// compared before any timing.
//
//   x (fp16, both sides) -> gate (west) and up (east) at once -> SwiGLU -> down (rows halved) -> y
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>

#include "bench/plain.h"
#include "chip/functional.h"
#include "chip/half.h"
#include "runtime/compiler/image.h"
#include "runtime/kernels/kernels.h"
#include "runtime/run/engine_memory.h"
#include "tests/chip/program_builder.h"

namespace lockstep {
namespace {

constexpr int kHidden = 576, kInner = 1536;
constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

// fp16 values, so that both sides compute with the same numbers.
std::vector<float> RandomHalves(std::mt19937& random, size_t count, double size) {
  std::vector<float> out(count);
  for (float& v : out) {
    v = HalfToFloat(FloatToHalf(static_cast<float>(size * (random() * 0x1p-31 - 1))));
  }
  return out;
}

struct Weights {
  std::mt19937 random{3};
  std::vector<float> x = RandomHalves(random, kHidden, 1);
  std::vector<float> gate = RandomHalves(random, size_t{kHidden} * kInner, 0.1);
  std::vector<float> up = RandomHalves(random, size_t{kHidden} * kInner, 0.1);
  std::vector<float> down = RandomHalves(random, size_t{kHidden} * kInner, 0.1);
};

std::vector<float> PlainStep(const Weights& w) {
  std::vector<float> gate = Times(w.gate, w.x);
  const std::vector<float> up = Times(w.up, w.x);
  for (size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
  return Times(w.down, gate);
}

class FeedForward {
 public:
  explicit FeedForward(const Weights& w) {
    StoreMatrix(gate_, w.gate, 0, kHidden);
    StoreMatrix(up_, w.up, 0, kHidden);
    StoreMatrix(down_[0], w.down, 0, kInner);
    StoreMatrix(down_[1], w.down, down_[0].rows, kInner);
    std::vector<uint16_t> x(CeilDiv(kHidden, kLanes) * kLanes);
    for (int i = 0; i < kHidden; ++i) x[i] = FloatToHalf(w.x[i]);
    for (size_t i = 0; i < x.size(); i += kLanes) {
      const int word = static_cast<int>(i / kLanes);
      for (const Pair& at : x_) StorePair(memory_, at + word, std::span(x).subspan(i, kLanes));
    }
    Placer placer(timing_);
    Kernels kernels{timing_, placer};
    PlaceMatVec(placer, timing_, "gate", gate_, x_[0], gate_out_);
    PlaceMatVec(placer, timing_, "up", up_, x_[1], up_out_);
    kernels.SwiGlu(gate_out_, up_out_, CeilDiv(kInner, kLanes), mlp_[0], mlp_[1]);
    for (int s : {0, 1}) PlaceMatVec(placer, timing_, "down", down_[s], mlp_[s], out_[s]);
    DispatchResult result = Dispatch(placer.Finish(), timing_);
    LOCKSTEP_CHECK(!result.fault, "the program does not dispatch");
    program_ = std::make_shared<const PreparedProgram>(
        std::make_shared<const Schedule>(std::move(result.schedule)));
  }

  std::vector<float> Step() {
    engine_.StartPrepared(program_);
    LOCKSTEP_CHECK(engine_.Run(port_) == EngineState::kDone, "%s", engine_.fault().detail);
    std::vector<float> y;
    for (int s : {0, 1}) {
      for (int w = 0; w < down_[s].tiles(); ++w) {
        const auto word = LoadQuad(memory_, out_[s] + w);
        y.insert(y.end(), word.begin(), word.begin() + down_[s].tile_rows(w));
      }
    }
    return y;
  }
  const Schedule& schedule() const { return program_->schedule(); }

 private:
  // Rows first.. of w, `columns` a row, as many as the matrix has.
  void StoreMatrix(const Matrix& m, const std::vector<float>& w, int first, int columns) {
    const LaneStore store = [&](int slice, int address, int lane, const uint8_t* bytes) {
      memory_.Store(slice, address, lane, {bytes, kHalfLanes});
    };
    for (int row = 0; row < m.rows; ++row) {
      for (int slot = 0; slot < m.slots; ++slot) {
        std::array<uint16_t, kHalfLanes> values{};
        for (int k = 0; k < kHalfLanes && slot * kHalfLanes + k < columns; ++k) {
          values[k] = FloatToHalf(w[size_t{1} * (first + row) * columns + slot * kHalfLanes + k]);
        }
        StoreWeightRow(m, row, slot, values.data(), store);
      }
    }
  }

  const ChipTiming timing_ = ChipTiming::Default();
  const int slots_ = CeilDiv(kHidden, kHalfLanes), inner_slots_ = CeilDiv(kInner, kHalfLanes);
  const Matrix gate_{kWest, 0, kInner, slots_}, up_{kEast, 0, kInner, slots_};
  const Matrix down_[2] = {{kWest, gate_.weight_rows(), kLanes, inner_slots_},
                           {kEast, up_.weight_rows(), kHidden - kLanes, inner_slots_}};
  const Pair x_[2] = {{kWest, 0, 0, 0}, {kEast, 0, 0, 0}};
  const Pair mlp_[2] = {{kWest, 0, 2, 0}, {kEast, 0, 2, 0}};
  const Quad gate_out_{kWest, 1, 0}, up_out_{kEast, 2, 0};
  const Quad out_[2] = {{kWest, 2, 50}, {kEast, 1, 50}};
  FunctionalEngine engine_{0, timing_};
  EngineMemory memory_{engine_.sram()};
  NoLinks port_;
  std::shared_ptr<const PreparedProgram> program_;
};

// The chip rounds the SwiGLU's result to fp16: 2^-11 of each of 1536 terms.
void CheckResult(const std::vector<float>& got, const std::vector<float>& want) {
  LOCKSTEP_CHECK(got.size() == want.size(), "%d results", got.size());
  double size = 0, error = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    size = std::max(size, std::abs(double{want[i]}));
    error = std::max(error, std::abs(double{got[i]} - want[i]));
  }
  LOCKSTEP_CHECK(error < 2e-3 * size, "results differ by %g of %g", error, size);
}

void BM_FeedForward(benchmark::State& state) {
  const Weights weights;
  FeedForward chip(weights);
  CheckResult(chip.Step(), PlainStep(weights));
  for (auto _ : state) benchmark::DoNotOptimize(chip.Step());
  using benchmark::Counter;
  state.counters["chip_cycles"] = static_cast<double>(chip.schedule().end);
  state.counters["dispatches"] = static_cast<double>(chip.schedule().dispatches);
  state.counters["MAC/s"] = Counter(3.0 * kHidden * kInner, Counter::kIsIterationInvariantRate);
}

void BM_PlainFeedForward(benchmark::State& state) {
  const Weights weights;
  for (auto _ : state) benchmark::DoNotOptimize(PlainStep(weights));
}

BENCHMARK(BM_FeedForward)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_PlainFeedForward)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lockstep

BENCHMARK_MAIN();
