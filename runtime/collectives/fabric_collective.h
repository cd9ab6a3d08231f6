#pragma once
// Collectives over all chips of a topology, whatever its levels: compiled to one program a chip.
//
//   trees      reductions, all-gather, broadcast: each word has an owner; a tree over all chips
//              (reduction_tree.h) brings the parts to it, summed on the way, and the same tree
//              brings the sum back. Work is spread by spreading the owners: a reduce-scatter and an
//              all-gather over node, rack, system.
//   exchange   all-reduce of few words: at each level every unit tells its sum to all others of its
//              group, and all chips add these in the order of units (ISCA'22 5.6: local, global,
//              local hop for 256 chips). Fewer hops, more vectors.
//   relay      broadcast of many words: chip 0 hands each word to another chip, which spreads it.
//   routes     all-to-all, send/receive: no sums; within a node also over third chips.
//
// Sums have the same bits on all chips: each is made once, or everywhere in one order.
//
// Where a topology maps to itself (fabric/hops.h: racks of a system, nodes of a rack) and there are
// words enough for all, chips in one role share one program: then word w of the message lies
// rotated by the chip's unit (Input, Output), so that every unit sees the same picture.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chip/latency.h"
#include "chip/program.h"
#include "fabric/link_model.h"
#include "fabric/topology.h"
#include "runtime/collectives/collective_kind.h"
#include "runtime/kernels/place.h"

namespace lockstep {

struct FabricCollective {
  CollectiveKind kind = CollectiveKind::kAllReduce;
  CollectiveAlgorithm algorithm = CollectiveAlgorithm::kTrees;  // never kAuto
  int chips = 0;
  int words = 0;       // of the whole message, padded
  int shard = 0;       // words a chip contributes (all-gather) or keeps (reduce-scatter)
  int roles = 0;       // chips that differ in more than their place; chip c has role c % roles
  int64_t moves = 0;   // words over a link, all roles
  int64_t cycles = 0;  // until the last word stands in SRAM
  std::vector<std::shared_ptr<const Schedule>> schedules;  // by chip; equal ones are one object
  int programs = 0;                                        // different ones
  int64_t sram_bytes = 0;                                  // of the chip that needs most

  // Where `chip` keeps word w of what it contributes, of its result
  // (runtime/collectives/collective_kind.h).
  Quad Input(int chip, int word) const;
  Quad Output(int chip, int word) const;
};

// All chips of `topology`. `bytes`: of the whole message, 4 an fp32 element. Broadcast is from chip
// 0. kAuto: of AlgorithmsOf(kind) the one that takes fewer cycles. Errors: bytes < 1, too many words
// for SRAM, kMaxMoves or kMaxVectors; an algorithm that is not there for this kind; a topology with
// units that no cable joins.
absl::StatusOr<FabricCollective> CompileFabricCollective(
    CollectiveKind kind, int64_t bytes, const Topology& topology, const LinkModel& links,
    const ChipTiming& timing, CollectiveAlgorithm algorithm = CollectiveAlgorithm::kAuto);

// What a host of some GiB can hold: 600 B a move while it is scheduled, 120 B a vector once it is
// verified.
inline constexpr int64_t kMaxMoves = 3'000'000;
inline constexpr int64_t kMaxVectors = 24'000'000;

}  // namespace lockstep
