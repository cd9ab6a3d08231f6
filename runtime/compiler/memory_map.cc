// SRAM allocation (runtime/compiler/memory_map.h).
#include "runtime/compiler/memory_map.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {
const char* SideName(Hemisphere side) { return side == Hemisphere::kWest ? "western" : "eastern"; }
}  // namespace

int64_t MemoryMap::Side::quads() const {
  int64_t words = std::accumulate(weights.begin(), weights.end(), int64_t{0});
  for (int c = 0; c < kColumns; ++c) words += in(c);
  return words;
}

int MemoryMap::TakeWords(Hemisphere side, int column, int plane, int planes, int count) {
  auto& slices = sides_[static_cast<int>(side)].words[column];
  const int address = *std::max_element(slices.begin() + plane, slices.begin() + plane + planes);
  std::fill_n(slices.begin() + plane, planes, address + count);
  return std::min(address, kWordsPerSlice - 1);
}

Quad MemoryMap::Words(Hemisphere side, int column, int count) {
  return {side, column, TakeWords(side, column, 0, 4, count)};
}

Pair MemoryMap::PairWords(Hemisphere side, int column, int plane, int count) {
  return {side, column, plane, TakeWords(side, column, plane, 2, count)};
}

Single MemoryMap::SingleWords(Hemisphere side, int column, int plane, int count) {
  return {side, column, plane, TakeWords(side, column, plane, 1, count)};
}

int MemoryMap::WeightRows(Hemisphere side, int count) {
  auto& weights = sides_[static_cast<int>(side)].weights;
  const int first = *std::max_element(weights.begin(), weights.end());
  weights.fill(first + count);
  return first;
}

int MemoryMap::EmbeddingRows(Hemisphere side, int words, int rows) {
  constexpr int kWordsAtOnce = kWeightSlices / 2, kWordsOfQuad = kSlicesPerColumn / 2;
  const int first = WeightRows(side, words / kWordsAtOnce * rows);
  auto& weights = sides_[static_cast<int>(side)].weights;
  const int quads = CeilDiv(words % kWordsAtOnce, kWordsOfQuad);
  for (int q = 0; q < quads; ++q) weights[q] += rows;
  return first;
}

Hemisphere MemoryMap::Roomier() const {
  return sides_[1].quads() < sides_[0].quads() ? Hemisphere::kEast : Hemisphere::kWest;
}

Strip MemoryMap::TakeStrip(Hemisphere which, int first_slot, int slots, int cycles, int columns,
                           Take take) {
  Side& side = sides_[static_cast<int>(which)];
  const auto& room = room_[static_cast<int>(which)];
  Strip strip{first_slot, slots, {}};
  const int words = slots * cycles;
  std::array<int, kStreamQuads> quads;  // the fullest first
  std::iota(quads.begin(), quads.end(), 0);
  std::stable_sort(quads.begin(), quads.end(),
                   [&](int a, int b) { return side.weights[a] > side.weights[b]; });
  int most = 0;
  for (int c = 0; c < kColumns; ++c) most = std::max(most, side.in(c));
  auto quad = quads.begin();
  for (int c = 0; c < columns; ++c) {
    if (side.in(c) + words > (take == Take::kBehind ? std::min(most, room[c]) : room[c])) continue;
    (take == Take::kBeginnings ? side.low : side.more)[c] += words;
    const int low = kWordsPerSlice - room[c] + side.low[c] - words;
    strip.at[*quad++] = {c, take == Take::kBeginnings ? low : kWordsPerSlice - side.more[c]};
  }
  for (; quad != quads.end(); ++quad) {
    strip.at[*quad] = {kColumns + *quad, side.weights[*quad]};
    side.weights[*quad] += words;
  }
  return strip;
}

// Short, so that the columns fill evenly, and so that the last room of an activation column is
// used.
int MemoryMap::PieceOf(Hemisphere side, int slots, int cycles, int columns) const {
  constexpr int kMost = 16;
  slots = std::min(slots, kMost);
  for (int c = 0; c < columns; ++c) {
    const int i = static_cast<int>(side), left = (room_[i][c] - sides_[i].in(c)) / cycles;
    if (left > 0) slots = std::min(slots, left);
  }
  return slots;
}

Matrix MemoryMap::Place(Matrix m, int columns, Turn turn) {
  const int side = static_cast<int>(m.side), before = turn == Turn::kFirst ? 0 : kWhole;
  const int share = std::clamp(shares_[side] - before, 0, kWhole);
  int& owed = owed_[side][static_cast<int>(turn)];
  if (shares_[side] == 0) {
    m.address = WeightRows(m.side, m.weight_rows());
    return m;
  }
  m.strips.resize(m.tiles());
  for (const SegmentOfTiles& s : m.Segments()) {
    for (int t = s.first_tile; t < s.first_tile + s.tiles; ++t) {
      owed += s.slots * share;
      const int own = s.slots - std::min(owed / kWhole, s.slots);
      owed -= (s.slots - own) * kWhole;
      const int cycles = m.tile_cycles(t), low = CeilDiv(own, 2), high = own - low;
      const auto take = [&](int at, int slots, Take how) {
        if (slots == 0) return;
        m.strips[t].push_back(TakeStrip(m.side, s.first_slot + at, slots, cycles, columns, how));
      };
      const auto pieces = [&](int at, int end, Take how) {
        for (int slots = 0; at < end; at += slots) {
          take(at, slots = PieceOf(m.side, end - at, cycles, columns), how);
        }
      };
      // In int8 the middle is multiplied last, when all words of x are there; in fp16 words as they come.
      const bool last = turn == Turn::kFirst && m.format == NumberFormat::kInt8;
      const int edge = last ? s.slots / 4 : s.slots;
      const int first = std::max(low, edge), end = std::max(first, s.slots - std::max(high, edge));
      take(0, low, Take::kBehind);
      pieces(low, std::min(first, s.slots - high), Take::kEnds);
      pieces(first, end, Take::kBeginnings);
      pieces(end, s.slots - high, Take::kEnds);
      take(s.slots - high, high, Take::kBehind);
    }
  }
  return m;
}

int MemoryMap::column_words_used(Hemisphere side, int column) const {
  const auto& slices = sides_[static_cast<int>(side)].words[column];
  return *std::max_element(slices.begin(), slices.end());
}

int64_t MemoryMap::bytes_used() const {
  int64_t words = 0;
  for (const Side& side : sides_) {
    words += side.quads() * kSlicesPerColumn;
    for (const auto& column : side.words) {
      for (int used : column) words += used;
    }
  }
  return words * kVectorBytes;
}

int64_t MemoryMap::excess_bytes(Hemisphere which) const {
  const Side& side = sides_[static_cast<int>(which)];
  int64_t words = 0;  // of four slices
  for (int used : side.weights) words += std::max(0, used - kWordsPerSlice);
  for (int c = 0; c < kColumns; ++c) {
    words += std::max(0, column_words_used(which, c) + side.in(c) - kWordsPerSlice);
  }
  return words * kSlicesPerColumn * kVectorBytes;
}

absl::Status MemoryMap::CheckSide(Hemisphere which) const {
  const Side& side = sides_[static_cast<int>(which)];
  const int fullest = *std::max_element(side.weights.begin(), side.weights.end());
  if (fullest > kWordsPerSlice) {
    return absl::ResourceExhaustedError(
        absl::StrCat("weights and KV cache take ", fullest, " words of a slice of the ",
                     SideName(which), " weight columns, which has ", kWordsPerSlice, " (",
                     (int64_t{fullest} - kWordsPerSlice) * kWeightSlices * kVectorBytes,
                     " B too many a chip); use more chips or a shorter context"));
  }
  for (int c = 0; c < kColumns; ++c) {
    const int used = column_words_used(which, c);
    if (used + side.in(c) <= kWordsPerSlice) continue;
    return absl::ResourceExhaustedError(absl::StrCat(
        "activations and tables take ", used, " words and weights ", side.in(c),
        " of a slice of ", SideName(which), " column ", c, ", which has ", kWordsPerSlice, " (",
        (int64_t{used} + side.in(c) - kWordsPerSlice) * kSlicesPerColumn * kVectorBytes,
        " B too many a chip); use more chips or a shorter context"));
  }
  return absl::OkStatus();
}

absl::Status MemoryMap::Check() const {
  for (Hemisphere side : {Hemisphere::kWest, Hemisphere::kEast}) {
    absl::Status status = CheckSide(side);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace lockstep
