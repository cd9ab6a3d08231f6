// Run as `mpirun -n 8 mpi_exchange` (8, 4, 2 or 1 ranks for 8 chips). Two measurements:
//   exchanges a second: each window with both neighbours of a ring, 320 B and 64 KiB, with payload
//   and without; what bench/transport_bench.cc measures in one process;
//   idleness: chip 0 computes for two seconds while all others wait for its vector, and every rank
//   says how much processor time it took meanwhile.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "bench/exchange_engine.h"
#include "fabric/agreement.h"
#include "fabric/mpi_fabric.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

double CpuSeconds() {
  rusage use;
  getrusage(RUSAGE_SELF, &use);
  return static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

// Chip 0 works, then sends around the ring; every other chip waits, then passes on.
class IdleStep : public ChipStep {
 public:
  explicit IdleStep(Transport* transport) : transport_(transport) {}

  Result Step(int index, LinkPort& port) override {
    if (transport_->chips()[index] == 0) {
      const Clock::time_point start = Clock::now();
      while (Seconds(start) < 2) benchmark_sink_ = benchmark_sink_ + 1;
      port.Send(0, 0, nullptr);
      return {true, 0};
    }
    LinkPort::Arrival arrival;
    if (port.Peek(1, &arrival) != Poll::kReady) return {false, 1};
    port.Pop(1);
    if (transport_->chips()[index] + 1 < kExchangeChips) port.Send(0, 0, nullptr);
    return {true, 0};
  }

 private:
  Transport* transport_;
  volatile uint64_t benchmark_sink_ = 0;
};

void MeasureExchanges(Transport& transport, const char* name) {
  for (const int64_t vectors : {1, 205}) {
    for (const bool payload : {false, true}) {
      const int64_t windows = vectors == 1 ? 10'000 : 300;
      Exchange(transport, 10, vectors, payload);
      const Clock::time_point start = Clock::now();
      Exchange(transport, windows, vectors, payload);
      if (transport.process().rank != 0) continue;
      std::printf("%-14s %6ld B a window, %-7s %10.0f exchanges/s\n", name,
                  static_cast<long>(vectors * kVectorBytes), payload ? "values" : "timing",
                  static_cast<double>(windows) / Seconds(start));
    }
  }
}

void MeasureIdleness(Transport& transport, const char* name) {
  AllGather(transport, "");  // nobody starts early
  const double before = CpuSeconds();
  IdleStep step(&transport);
  transport.RunChips(step);
  const double mine = CpuSeconds() - before;
  std::string bytes(sizeof(mine), '\0');
  std::memcpy(bytes.data(), &mine, sizeof(mine));
  double waiting = 0, worst = 0;
  const std::vector<std::string> all = AllGather(transport, bytes);
  for (size_t r = 1; r < all.size(); ++r) {
    double other = 0;
    std::memcpy(&other, all[r].data(), sizeof(other));
    waiting += other;
    worst = std::max(worst, other);
  }
  if (transport.process().rank != 0) return;
  std::printf("%-14s one rank worked %.2f CPU s; the %zu that waited took %.4f together, "
              "%.4f at most\n", name, mine, all.size() - 1, waiting, worst);
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  using namespace lockstep;
  auto session = MpiSession::Init(&argc, &argv);
  if (!session.ok()) {
    std::fprintf(stderr, "%s\n", session.status().ToString().c_str());
    return 2;
  }
  for (const bool shared : {true, false}) {
    const uint32_t k = (kExchangeChips + (*session)->size() - 1) / (*session)->size();
    auto fabric = MpiFabric::Create(**session, RingWiring(),
                                    {.chips_per_rank = k, .shared_memory = shared});
    if (!fabric.ok()) {
      std::fprintf(stderr, "%s\n", fabric.status().ToString().c_str());
      return 2;
    }
    const char* name = shared ? "shared memory" : "MPI messages";
    MeasureExchanges(**fabric, name);
    MeasureIdleness(**fabric, name);
  }
  return 0;
}
