// Moves tiles from the fuller side (runtime/compiler/weight_sides.h).
#include "runtime/compiler/weight_sides.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "runtime/kernels/matvec.h"

namespace lockstep {
namespace {

class Sides {
 public:
  Sides(const std::vector<CutMatrix>& matrices, const SideRoom& room)
      : matrices_(matrices), now_{room.taken, room.landing_room - room.landing_words} {
    for (size_t i = 0; i < matrices.size(); ++i) {
      const CutMatrix& m = matrices[i];
      west_.push_back(0);
      now_.used[1] += m.tiles * m.tile_words;
      Move(i, m.tiles / 2 / m.unit * m.unit);
    }
    // Columns cannot be filled to the last word.
    limit_ =
        std::max((now_.used[0] + now_.used[1] + Lost(now_) + 1) / 2, room.room - room.room / 64);
  }

  // Moves tiles of one matrix, or of two, if both sides come closer to the limit by that.
  bool Improve() {
    if (Over(now_) == 0) return false;
    std::pair<int64_t, int64_t> best{Over(now_), -1};
    std::vector<int> chosen;
    const std::vector<int> before = west_;
    const auto look = [&] {
      const std::pair<int64_t, int64_t> cost{Over(now_), Departure()};
      if (cost < best) best = cost, chosen = west_;
    };
    for (size_t i = 0; i < matrices_.size(); ++i) {
      for (const int up : {-1, 1}) {
        if (!Step(i, up)) continue;
        look();
        for (size_t j = i + 1; j < matrices_.size(); ++j) {
          for (const int other : {-1, 1}) {
            if (!Step(j, other)) continue;
            look();
            Step(j, -other);
          }
        }
        Step(i, -up);
      }
    }
    for (size_t i = 0; i < chosen.size(); ++i) Move(i, chosen[i]);
    return !chosen.empty();
  }

  std::vector<int> Take() { return std::move(west_); }

 private:
  struct State {
    std::array<int64_t, 2> used;
    int64_t landing;  // words of the landing column that nothing can take, if positive
  };

  static int64_t Lost(const State& s) { return std::max<int64_t>(0, s.landing); }
  int64_t Over(const State& s) const {
    return std::max<int64_t>(0, std::max(s.used[0] + Lost(s), s.used[1]) - limit_);
  }
  State After(size_t i, int west) const {
    const int64_t words = (west - west_[i]) * matrices_[i].tile_words;
    return {{now_.used[0] + words, now_.used[1] - words},
            now_.landing - (matrices_[i].summed ? 0 : words / kStreamQuads)};
  }
  void Move(size_t i, int west) {
    now_ = After(i, west);
    west_[i] = west;
  }
  // Moves one unit of tiles, west if `up` is 1; false: there is none.
  bool Step(size_t i, int up) {
    const int west = west_[i] + up * matrices_[i].unit;
    if (west < 0 || west > matrices_[i].tiles) return false;
    Move(i, west);
    return true;
  }
  // What products take longer than with halves.
  int64_t Departure() const {
    int64_t words = 0;
    for (size_t i = 0; i < matrices_.size(); ++i) {
      words += std::abs(2 * west_[i] - matrices_[i].tiles) * matrices_[i].tile_words;
    }
    return words;
  }

  const std::vector<CutMatrix>& matrices_;
  std::vector<int> west_;
  State now_;
  int64_t limit_ = 0;
};

}  // namespace

std::vector<int> ChooseSides(const std::vector<CutMatrix>& matrices, const SideRoom& room) {
  Sides sides(matrices, room);
  while (sides.Improve()) {
  }
  return sides.Take();
}

}  // namespace lockstep
