// Multiply-adds per second of the chip's dot products, beside what this host can do at best in the
// same run: its fp32 fused multiply-add peak and its memory's read bandwidth.
//
//   bin/numerics_bench                 every figure is per core (one thread, CPU time)
//
// MAC/s  multiply-adds        B/s  bytes of weights (or of memory) read
// Hot: one 320-row plane of weights again and again. Cold: 96 MiB of them in turn.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "chip/numerics.h"
#include "chip/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/numerics_bench.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 10 independent chains of `steps` fp32 multiply-adds in every lane; returns how many that were.
double MultiplyAdds(int steps, float x[10]) {
  const hn::ScalableTag<float> d;
  const auto half = hn::Set(d, 0.5f);
  auto a = hn::Set(d, x[0]), b = hn::Set(d, x[1]), c = hn::Set(d, x[2]), e = hn::Set(d, x[3]);
  auto f = hn::Set(d, x[4]), g = hn::Set(d, x[5]), h = hn::Set(d, x[6]), i = hn::Set(d, x[7]);
  auto j = hn::Set(d, x[8]), k = hn::Set(d, x[9]);
  for (int n = 0; n < steps; ++n) {
    a = hn::MulAdd(a, half, half), b = hn::MulAdd(b, half, half), c = hn::MulAdd(c, half, half);
    e = hn::MulAdd(e, half, half), f = hn::MulAdd(f, half, half), g = hn::MulAdd(g, half, half);
    h = hn::MulAdd(h, half, half), i = hn::MulAdd(i, half, half), j = hn::MulAdd(j, half, half);
    k = hn::MulAdd(k, half, half);
  }
  const auto low = hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)), hn::Add(f, g));
  x[0] = hn::GetLane(hn::Add(low, hn::Add(hn::Add(h, i), hn::Add(j, k))));
  return 10.0 * steps * static_cast<double>(hn::Lanes(d));
}

}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {
namespace {

HWY_EXPORT(MultiplyAdds);

void BM_HostMultiplyAdds(benchmark::State& state) {
  float x[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  double macs = 0;
  for (auto _ : state) macs = HWY_DYNAMIC_DISPATCH(MultiplyAdds)(10000, x);
  benchmark::DoNotOptimize(x[0]);
  state.counters["MAC/s"] = benchmark::Counter(macs, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_HostMultiplyAdds);

constexpr int kPlaneRows = 320;
constexpr int kColdRows = 96 * 1024 * 1024 / kVectorBytes / kPlaneRows * kPlaneRows;

// `rows` words of 320 bytes; each is one row of 320 int8 or of 160 fp16 weights of 2^-7 .. 2^-3.
std::vector<Vector> MakeWords(int rows) {
  std::vector<Vector> words(rows);
  uint32_t state = 1;
  for (Vector& w : words) {
    for (int i = 0; i < kVectorBytes; ++i) {
      state = state * 1664525 + 1013904223;
      const auto byte = static_cast<uint8_t>(state >> 24);
      w.bytes[i] = i < kFp16Terms ? byte : (byte & 0x8F) | 0x20;
    }
  }
  return words;
}

std::vector<Fp16Row> Fp16Rows(const std::vector<Vector>& words) {
  std::vector<Fp16Row> rows;
  for (const Vector& w : words) rows.push_back({w.bytes.data(), w.bytes.data() + kFp16Terms});
  return rows;
}

void Report(benchmark::State& state, int64_t rows, int64_t terms, int64_t batch) {
  using benchmark::Counter;
  const double macs = static_cast<double>(rows * terms * batch);
  state.counters["MAC/s"] = Counter(macs, Counter::kIsIterationInvariantRate);
  state.counters["B/s"] =
      Counter(static_cast<double>(rows) * kVectorBytes, Counter::kIsIterationInvariantRate);
}

// Argument 0: rows cycled through, 1: activations per row.
void BM_Fp16(benchmark::State& state) {
  const int count = static_cast<int>(state.range(0)), batch = static_cast<int>(state.range(1));
  const std::vector<Vector> words = MakeWords(count);
  const std::vector<Fp16Row> rows = Fp16Rows(words);
  std::vector<std::vector<float>> a(batch, std::vector<float>(kFp16Terms));
  std::vector<std::vector<float>> out(batch, std::vector<float>(kPlaneRows));
  std::vector<const float*> as;
  std::vector<float*> outs;
  for (int b = 0; b < batch; ++b) {
    for (int k = 0; k < kFp16Terms; ++k)
      a[b][k] = static_cast<float>((k * 37 + b * 11) % 64 - 31) / 8;
    as.push_back(a[b].data());
    outs.push_back(out[b].data());
  }
  int first = 0;
  for (auto _ : state) {
    Fp16MatMul(rows.data() + first, kPlaneRows, as.data(), batch, outs.data());
    benchmark::DoNotOptimize(out[0][0]);
    first = (first + kPlaneRows) % count;
  }
  Report(state, kPlaneRows, kFp16Terms, batch);
}
BENCHMARK(BM_Fp16)->ArgNames({"rows", "batch"})->ArgsProduct({{kPlaneRows, kColdRows}, {1, 4, 16}});

void BM_Int8(benchmark::State& state) {
  const int count = static_cast<int>(state.range(0));
  const std::vector<Vector> words = MakeWords(count);
  std::vector<const uint8_t*> rows;
  for (const Vector& w : words) rows.push_back(w.bytes.data());
  std::vector<int32_t> out(kPlaneRows);
  int first = 0;
  for (auto _ : state) {
    Int8MatVec(rows.data() + first, kPlaneRows, words[0].bytes.data(), out.data());
    benchmark::DoNotOptimize(out[0]);
    first = (first + kPlaneRows) % count;
  }
  Report(state, kPlaneRows, kInt8Terms, 1);
}
BENCHMARK(BM_Int8)->ArgName("rows")->Arg(kPlaneRows)->Arg(kColdRows);

void BM_HostReadsMemory(benchmark::State& state) {
  const size_t bytes = size_t{256} << 20;
  std::vector<uint64_t> memory(bytes / 8, 1);
  for (auto _ : state) {
    uint64_t sum[8] = {};
    for (size_t i = 0; i < memory.size(); i += 8) {
      for (int j = 0; j < 8; ++j) sum[j] += memory[i + j];
    }
    benchmark::DoNotOptimize(sum);
  }
  state.counters["B/s"] =
      benchmark::Counter(static_cast<double>(bytes), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_HostReadsMemory);

void BM_Interleave2(benchmark::State& state) {
  const std::vector<Vector> in = MakeWords(2);
  uint16_t out[kLanes];
  for (auto _ : state) {
    Interleave2(in[0].bytes.data(), in[1].bytes.data(), out);
    benchmark::DoNotOptimize(out);
  }
}
BENCHMARK(BM_Interleave2);

void BM_Interleave4(benchmark::State& state) {
  const std::vector<Vector> in = MakeWords(4);
  uint32_t out[kLanes];
  for (auto _ : state) {
    Interleave4(in[0].bytes.data(), in[1].bytes.data(), in[2].bytes.data(), in[3].bytes.data(),
                out);
    benchmark::DoNotOptimize(out);
  }
}
BENCHMARK(BM_Interleave4);

void BM_Deinterleave4(benchmark::State& state) {
  std::vector<Vector> planes(4);
  const uint32_t in[kLanes] = {1, 2, 3};
  for (auto _ : state) {
    Deinterleave4(in, planes[0].bytes.data(), planes[1].bytes.data(), planes[2].bytes.data(),
                  planes[3].bytes.data());
    benchmark::DoNotOptimize(planes[0]);
  }
}
BENCHMARK(BM_Deinterleave4);

// Argument 0: NumericType.
void BM_VxmAdd(benchmark::State& state) {
  const auto type = static_cast<NumericType>(state.range(0));
  const std::vector<Vector> in = MakeWords(8);
  std::vector<Vector> out(4);
  for (auto _ : state) {
    VxmBinary(BinaryOp::kAdd, type, in[0].bytes.data(), in[4].bytes.data(), out[0].bytes.data(),
              kLanes);
    benchmark::DoNotOptimize(out[0]);
  }
}
BENCHMARK(BM_VxmAdd)->ArgName("type")->DenseRange(0, kNumericTypes - 1);

// Argument 0: UnaryOp of fp32.
void BM_VxmFunction(benchmark::State& state) {
  std::vector<float> in(kLanes), out(kLanes);
  for (int i = 0; i < kLanes; ++i) in[i] = static_cast<float>(i) / 32;
  for (auto _ : state) {
    VxmUnary(static_cast<UnaryOp>(state.range(0)), NumericType::kFp32, in.data(), out.data(),
             kLanes);
    benchmark::DoNotOptimize(out[0]);
  }
}
BENCHMARK(BM_VxmFunction)->ArgName("op")->DenseRange(3, 5);

}  // namespace
}  // namespace lockstep

BENCHMARK_MAIN();
#endif  // HWY_ONCE
