// Product, reduction, and their runs (runtime/validation/distributed_matmul.h).
#include "runtime/validation/distributed_matmul.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/collectives/exchange.h"
#include "runtime/machine/verify.h"
#include "runtime/validation/validate_testbed.h"

namespace lockstep {
namespace {

constexpr int kFreeColumn = 10;  // of both hemispheres: the product leaves it alone

constexpr int kStaleColumns = 2;

absl::Status CheckShape(const MatmulShape& s) {
  const int64_t landing = int64_t{s.rows} * s.n_tiles;  // seven eighths arrive, one eighth are results
  const int64_t room = 2 * kWordsPerSlice + 2 * kStaleColumns * s.sum_words();
  if (s.rows % 4 == 0 && s.rows >= 256 && s.k_tiles > 0 && s.n_tiles > 0 &&
      std::max({s.weight_words(), s.sum_words(), s.activation_words()}) <= kWordsPerSlice &&
      landing <= room) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      s.rows, " rows, ", s.k_tiles, " x ", s.n_tiles, " tiles a chip need ", s.weight_words(),
      " words a slice for weights, ", s.sum_words(), " for sums, ", s.activation_words(),
      " for activations (each at most ", kWordsPerSlice, ") and ", landing,
      " words for the reduction (at most ", room, "); rows must be a multiple of 4, at least 256"));
}

// Hemispheres that share N need all of A twice, but each tile of B once, and install half as often.
absl::StatusOr<MatmulShape> ShapeOfChip(int rows, int k, int n, int nodes) {
  MatmulShape shape{rows, CeilDiv(CeilDiv(k, kNodeChips), kHalfLanes),
                    CeilDiv(CeilDiv(n, nodes), 2 * kHalfLanes), MatmulCut::kColumns};
  const absl::Status by_columns = CheckShape(shape);
  if (by_columns.ok()) return shape;
  shape.cut = MatmulCut::kRows;
  if (CheckShape(shape).ok()) return shape;
  return by_columns;
}

// A node's local links.
Roles NodeRoles(const LinkModel& links) {
  Roles roles(kNodeChips);
  for (int i = 0; i < kNodeChips; ++i) {
    for (int p = 0; p < kNodeChips - 1; ++p) {
      roles[i][p] = {(i + p + 1) % kNodeChips, kNodeChips - 2 - p,
                     static_cast<int32_t>(links.flight_cycles())};
    }
  }
  return roles;
}

// Words that a chip keeps, from the start of the free eastern column, and words that arrive: the rest of
// the free columns, then where sums lay a pass before.
class FreeWords {
 public:
  FreeWords(const MatmulShape& shape, int keeps) {
    const int stale = StaleColumn(shape), words = static_cast<int>(shape.sum_words());
    areas_ = {{{Hemisphere::kWest, kFreeColumn, 0}, kWordsPerSlice},
              {{Hemisphere::kEast, kFreeColumn, keeps}, kWordsPerSlice - keeps}};
    for (const Hemisphere side : {Hemisphere::kWest, Hemisphere::kEast}) {
      for (int i = 0; i < kStaleColumns; ++i) areas_.push_back({{side, stale + i, 0}, words});
    }
  }
  Quad Land() {
    while (areas_[area_].words == landed_) ++area_, landed_ = 0;
    return areas_[area_].first + landed_++;
  }
  Quad Keep() { return {Hemisphere::kEast, kFreeColumn, kept_++}; }

 private:
  struct Area {
    Quad first;
    int words;
  };
  std::vector<Area> areas_;
  size_t area_ = 0;
  int landed_ = 0, kept_ = 0;
};

Exchange Reduction(DistributedMatmul& m, const Roles& roles) {
  Exchange exchange(roles);
  const int words = m.shape.rows * m.shape.n_tiles;
  std::vector<FreeWords> free(kNodeChips, FreeWords(m.shape, CeilDiv(words, kNodeChips)));
  for (int w = 0; w < words; ++w) {
    const Quad partial = MatmulSum(m.shape, w / m.shape.n_tiles, w % m.shape.n_tiles);
    const int owner = m.Owner(w);
    std::vector<Exchange::ValueId> parts;
    for (int chip = 0; chip < kNodeChips; ++chip) {
      Exchange::ValueId part = exchange.Input(chip, partial);
      const int port = (owner - chip - 1 + kNodeChips) % kNodeChips;
      if (chip != owner) part = exchange.Move(part, port, free[owner].Land());
      parts.push_back(part);
    }
    m.sums.push_back(free[owner].Keep());
    exchange.Sum(parts, m.sums.back());
  }
  return exchange;
}

}  // namespace

int DistributedMatmul::Owner(int word) const {
  return static_cast<int>(int64_t{word} * kNodeChips / (shape.rows * shape.n_tiles));
}

absl::StatusOr<DistributedMatmul> CompileDistributedMatmul(int rows, int k, int n, int nodes,
                                                           const LinkModel& links,
                                                           const ChipTiming& timing) {
  DistributedMatmul m;
  m.nodes = nodes;
  ASSIGN_OR_RETURN(m.shape, ShapeOfChip(rows, k, n, nodes));
  ASSIGN_OR_RETURN(const auto product, ScheduleOf(MatmulProgram(m.shape, timing), timing));
  const Roles roles = NodeRoles(links);
  const Exchange::Result reduction = Reduction(m, roles).Schedule(timing);
  m.product_cycles = product->end;
  m.reduction_start = product->end + DrainCycles(timing);
  m.cycles = m.reduction_start + reduction.cycles;
  for (int chip = 0; chip < kNodeChips; ++chip) {
    ASSIGN_OR_RETURN(const auto adds, ScheduleOf(reduction.programs[chip], timing));
    m.chips.push_back({{product, 0}, {adds, m.reduction_start}});
  }
  return m;
}

absl::Status RunDistributedMatmul(const DistributedMatmul& m, const Topology& topology,
                                  const LinkModel& links, const ChipTiming& timing) {
  std::vector<Launches> launches;
  for (int chip = 0; chip < topology.num_chips(); ++chip) {
    launches.push_back(m.chips[chip % kNodeChips]);
  }
  return RunLaunches(launches, topology, links, timing);
}

}  // namespace lockstep
