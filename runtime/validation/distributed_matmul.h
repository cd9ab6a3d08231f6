#pragma once
// C[M, N] = A[M, K] B[K, N] in fp16 over nodes of eight chips: N is cut over the nodes, K over the
// chips of a node, and the partial sums of a node are added over its links (ISCA'22 5.4 multiplies
// [800 x 32576] by [32576 x 8192] on 8 to 104 chips; how it cuts the work we took to be this).
//
//   chip i of a node   A(., K_i) B(K_i, N_node)   ->   partial sums of all M rows     (matmul)
//                      words of owner o to chip o, which adds eight of them           (reduction)
//
// The reduction begins when the product stands: the two do not overlap.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/latency.h"
#include "fabric/launch.h"
#include "fabric/link_model.h"
#include "fabric/topology.h"
#include "runtime/kernels/place.h"
#include "runtime/validation/validate_matmul.h"

namespace lockstep {

inline constexpr int kNodeChips = 8;

struct DistributedMatmul {
  int nodes = 1;
  MatmulShape shape;            // of a chip
  std::vector<Launches> chips;  // of one node; all nodes run the same
  std::vector<Quad> sums;       // by word = row * n_tiles + n_tile, on its owner
  int64_t product_cycles = 0, reduction_start = 0, cycles = 0;  // until the last sum stands

  int Owner(int word) const;  // chip of the node
};

// Errors: a shape that the product's layout cannot hold, with the numbers (validate_matmul.h).
absl::StatusOr<DistributedMatmul> CompileDistributedMatmul(int rows, int k, int n, int nodes,
                                                           const LinkModel& links,
                                                           const ChipTiming& timing);

// All chips of the topology, whose nodes are m's, on the timing engine, verified before.
// Errors: a broken rule, as verification or the engine finds it.
absl::Status RunDistributedMatmul(const DistributedMatmul& m, const Topology& topology,
                                  const LinkModel& links, const ChipTiming& timing);

}  // namespace lockstep
