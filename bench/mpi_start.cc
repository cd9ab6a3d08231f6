// Run as `mpirun -n RANKS mpi_start`: what starting and ending that many ranks costs, by phase. Rank 0
// prints the wall time until MPI stood, until all ranks were channels of one fabric, and until all had
// heard of each other once; mpirun's own wall time has the end too.
#include <chrono>
#include <cstdio>

#include "fabric/agreement.h"
#include "fabric/mpi_fabric.h"

namespace lockstep {
namespace {

// Chip i to chip i + 1, and back; the last to the first.
absl::StatusOr<Wiring> Ring(uint32_t chips) {
  std::vector<Wire> wires;
  for (uint32_t c = 0; chips > 1 && c < chips; ++c) {
    const uint32_t next = (c + 1) % chips;
    wires.push_back({c, 0, 1, next, 469});
    wires.push_back({next, 1, 0, c, 469});
  }
  return Wiring::Create(chips, std::move(wires), 2952);
}

int Main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const auto since = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  const auto session = MpiSession::Init(&argc, &argv);
  if (!session.ok()) return std::fprintf(stderr, "%s\n", session.status().ToString().c_str()), 2;
  const double stands = since();
  const auto fabric = MpiFabric::Create(**session, *Ring(static_cast<uint32_t>((*session)->size())),
                                        {.chips_per_rank = 1});
  if (!fabric.ok()) return std::fprintf(stderr, "%s\n", fabric.status().ToString().c_str()), 2;
  const double joined = since();
  AllGather(**fabric, "here");
  if ((*session)->rank() != 0) return 0;
  std::printf("%d ranks: MPI stands %.3f s, fabric %.3f s, all heard %.3f s\n", (*session)->size(),
              stands, joined, since());
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) { return lockstep::Main(argc, argv); }
