#pragma once
// Which row tiles of a stage's matrices lie in which hemisphere, where SRAM is short.
//
// A product takes as long as the side with more of its tiles, so halves are best. But caches,
// tables and activations are not the same on both sides: as many tiles as must move from the
// fuller side, those first that bring both below the limit with the least departure from halves.

#include <array>
#include <cstdint>
#include <vector>

namespace lockstep {

// In words of four slices. A matrix that is cut between the sides, `unit` tiles at a time:
struct CutMatrix {
  int tiles = 0, unit = 1;
  int64_t tile_words = 0;
  bool summed = false;  // must leave the column out where parts of sums land
};
struct SideRoom {
  std::array<int64_t, 2> taken{};  // by all else, west and east
  int64_t room = 0;                // of a side
  // Of the western column where parts of sums land, and how much of it other matrices may take.
  int64_t landing_room = 0, landing_words = 0;
};

// How many tiles of each matrix go west.
std::vector<int> ChooseSides(const std::vector<CutMatrix>& matrices, const SideRoom& room);

}  // namespace lockstep
