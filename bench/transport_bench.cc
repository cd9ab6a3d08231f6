// Exchanges a second over the in-process transport: eight chips, each window with both neighbours of
// a ring. Arguments: vectors a window (1 = 320 B, 205 = 64 KiB), threads, payload. bench/mpi_exchange
// measures the same over MPI.
#include <benchmark/benchmark.h>

#include "bench/exchange_engine.h"
#include "fabric/local_fabric.h"

namespace lockstep {
namespace {

void LocalExchange(benchmark::State& state) {
  const int64_t vectors = state.range(0);
  const int64_t windows = vectors == 1 ? 2000 : 20;
  auto fabric = LocalFabric::Create(RingWiring(), static_cast<int>(state.range(1)));
  LOCKSTEP_CHECK(fabric.ok(), "%s", fabric.status().ToString());
  for (auto _ : state) Exchange(**fabric, windows, vectors, state.range(2) != 0);
  state.counters["exchanges/s"] = benchmark::Counter(
      static_cast<double>(windows * static_cast<int64_t>(state.iterations())),
      benchmark::Counter::kIsRate);
}
BENCHMARK(LocalExchange)
    ->ArgNames({"vectors", "threads", "payload"})
    ->ArgsProduct({{1, 205}, {1, 2}, {0, 1}})
    ->UseRealTime();

}  // namespace
}  // namespace lockstep

BENCHMARK_MAIN();
