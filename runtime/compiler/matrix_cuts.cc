// Cuts, and slots that several matrices share (runtime/compiler/matrix_cuts.h).
#include "runtime/compiler/matrix_cuts.h"

#include <algorithm>

#include "chip/check.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;

// Weight rows that stream until many parts of sums have come: making the first ones, and a hop
// between chips.
constexpr int kRowsBeforeSums = 800;

int64_t TileWords(const Matrix& m) { return int64_t{m.tile_cycles(0)} * m.slots * kStreamQuads; }

int Half(int tiles, int unit) { return tiles / 2 / unit * unit; }

std::vector<Strip> StripsOf(const Matrix& m, int tile) {
  if (!m.strips.empty()) return m.strips[tile];
  std::vector<Strip> strips;
  for (int s = 0; s < m.slots; ++s) strips.push_back({s, 1, m.WordsOf(tile, s)});
  return strips;
}

// The slots of `end` behind those of m, where they lie. Both have the same rows.
void Append(Matrix& m, const Matrix& end) {
  std::vector<std::vector<Strip>> strips(m.tiles());
  for (int t = 0; t < m.tiles(); ++t) {
    strips[t] = StripsOf(m, t);
    for (Strip strip : StripsOf(end, t)) {
      strip.first_slot += m.slots;
      strips[t].push_back(strip);
    }
  }
  m.strips = std::move(strips);
  m.slots += end.slots;
}

}  // namespace

SplitMatrix MatrixCuts::Split(const Matrix& whole, int unit) {
  return SplitAt(whole, WesternTiles(whole, unit, false));
}

SplitMatrix MatrixCuts::SplitSummed(const Matrix& whole) {
  return SplitAt(whole, WesternTiles(whole, 1, true), true);
}

int MatrixCuts::WesternTiles(const Matrix& whole, int unit, bool summed) {
  const int tiles = whole.tiles();
  if (!short_) {
    return (tiles / 2 + (tiles % 2 == 1 && memory_.Roomier() == kWest ? 1 : 0)) / unit * unit;
  }
  cuts_.push_back({tiles, unit, TileWords(whole), summed && !short_->landing});
  return short_->western.empty() ? Half(tiles, unit) : short_->western[cuts_.size() - 1];
}

SplitMatrix MatrixCuts::SplitAt(const Matrix& whole, int western_tiles, bool summed,
                                MemoryMap::Turn turn) {
  const int cut = std::min(western_tiles * kTileRows, whole.rows);
  SplitMatrix out;
  for (Hemisphere side : {kWest, kEast}) {
    Matrix part = whole;
    part.side = side;
    part.rows = side == kWest ? cut : whole.rows - cut;
    if (part.rows == 0) continue;
    out.parts.push_back({Placed(part, summed, turn), side == kWest ? 0 : cut});
    if (part.format == NumberFormat::kInt8) {
      out.parts.back().row_scale = memory_.Words(Other(side), 0, part.tiles());
    }
  }
  return out;
}

Matrix MatrixCuts::Placed(const Matrix& part, bool summed, MemoryMap::Turn turn) {
  const bool apart = part.side == kWest && !(short_ && short_->landing);
  if (apart && summed) return PlacedBeforeSums(part, turn);
  const int outer = apart && short_ && turn == MemoryMap::Turn::kFirst ? short_->outer : 0;
  if (outer == 0) return memory_.Place(part, kColumns, turn);
  Matrix all = part, some = part;
  all.slots = 0;
  for (const int slots : {outer, part.slots - 2 * outer, outer}) {
    some.slots = slots;
    Append(all, memory_.Place(some, all.slots == outer ? kColumns : kLandingColumn, turn));
  }
  return all;
}

// The first tiles stream before parts of the first sums land, so they may lie there.
Matrix MatrixCuts::PlacedBeforeSums(const Matrix& part, MemoryMap::Turn turn) {
  const int early = short_ ? TilesBeforeSums(part) : 0;
  if (early == 0) return memory_.Place(part, kLandingColumn, turn);
  Matrix first = part;
  first.rows = std::min(part.rows, early * kTileRows), first.last_first_row = 0;
  first = memory_.Place(first, kColumns, turn);
  if (first.rows == part.rows) return first;
  Matrix rest = part;
  rest.rows -= first.rows;
  rest = memory_.Place(rest, kLandingColumn, turn);
  Matrix all = part;
  all.strips.clear();
  for (const Matrix* m : {&first, &rest}) {
    for (int t = 0; t < m->tiles(); ++t) all.strips.push_back(StripsOf(*m, t));
  }
  return all;
}

int MatrixCuts::TilesBeforeSums(const Matrix& m) {
  if (m.slots == 1) return 0;  // which others may share
  return std::min(kRowsBeforeSums / (m.slots * m.tile_cycles(0)), m.tiles());
}

MatrixCuts::Ended MatrixCuts::SplitSharing(int rows, int columns, NumberFormat format) {
  const int lanes = format == NumberFormat::kInt8 ? kLanes : kHalfLanes;
  const int full = columns / lanes, rest = columns % lanes;
  Matrix own{.rows = rows, .slots = CeilDiv(columns, lanes), .format = format};
  // In fp16 two slots make a vector, whose lower half may be moved alone.
  const bool lower = format == NumberFormat::kInt8 || full % 2 == 0;
  if (!short_ || rest == 0 || full == 0 || !lower) return {SplitSummed(own)};
  Matrix end = own;
  end.slots = 1, own.slots = full;
  // Rows of a tile load by so many a cycle.
  const int step = format == NumberFormat::kInt8 ? kWeightSlices : kWeightSlices / 2;
  SharedSlot& slot = SlotFor(end, CeilDiv(rest, step) * step);
  cuts_[slot.cut].tile_words += TileWords(own);
  Ended out{SplitAt(own, slot.western, true), slot.lanes};
  LOCKSTEP_CHECK(out.matrix.parts.size() == slot.matrix.parts.size(), "%d parts and %d",
                 out.matrix.parts.size(), slot.matrix.parts.size());
  for (size_t p = 0; p < out.matrix.parts.size(); ++p) {
    Append(out.matrix.parts[p].matrix, slot.matrix.parts[p].matrix);
  }
  slot.lanes += CeilDiv(rest, step) * step;
  return out;
}

MatrixCuts::SharedSlot& MatrixCuts::SlotFor(const Matrix& end, int lanes) {
  const int most = end.format == NumberFormat::kInt8 ? kLanes : kHalfLanes;
  if (shared_.empty() || shared_.back().lanes + lanes > most) {
    const int western = WesternTiles(end, 1, true);
    shared_.push_back({SplitAt(end, western, true), cuts_.size() - 1, western, 0});
  }
  return shared_.back();
}

std::vector<int> MatrixCuts::ChooseWestern(SideRoom room) const {
  for (const CutMatrix& m : cuts_) {
    const int west = Half(m.tiles, m.unit);
    room.taken[0] -= west * m.tile_words;
    room.taken[1] -= (m.tiles - west) * m.tile_words;
    if (!m.summed) room.landing_words -= west * m.tile_words / kStreamQuads;
  }
  return ChooseSides(cuts_, room);
}

}  // namespace lockstep
