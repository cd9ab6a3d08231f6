#pragma once
// Hands out SRAM. Of a hemisphere's eleven columns the three next to the VXM hold activations,
// words upwards from 0; the eight others hold weights, rows of all their 32 slices upwards from 0.
//
// Where that is not enough for the weights, the activation columns hold weights too, downwards from
// their ends. As 32 slices stream at a time, a slot of a matrix then comes from them and from all
// but the fullest of the others, so that all columns fill alike:
//
//   streams      0..3  4..7  8..11 ..  28..31
//   most slots   c3    c4    c5    ..  c10      a stream's own column
//   the others   c3    c0    c5    ..  c2       activation columns in place of the fullest ones
//
// Of int8 matrices that come first, whose middle slots are multiplied last, when no sums are on their way,
// the middle ones begin where activations end: in the lower bank, where sums and arriving words are written.
//
// An activation column that some matrices must leave out catches up with the slots of the others;
// one that is full is left out from then on.
//
// Running out is remembered, not an abort: the compiler asks once, at the end, what was too small.

#include <array>
#include <string>

#include "absl/status/status.h"
#include "runtime/kernels/matvec.h"
#include "runtime/kernels/place.h"

namespace lockstep {

class MemoryMap {
 public:
  static constexpr int kWhole = 1024, kAll = 2 * kWhole;
  // Which matrices take words of the activation columns: others when all slots of those that come first
  // do.
  enum class Turn : uint8_t { kFirst, kLater };
  // Of kWhole slots of a matrix on a side, so many take words of the activation columns, from the middle
  // of the matrix; kWhole more of those that come later.
  using Shares = std::array<int, 2>;  // west, east
  // Words of each activation column that weights may take, by side.
  using Room = std::array<std::array<int, kColumns>, 2>;
  static constexpr Room kAllRoom = {{{kWordsPerSlice, kWordsPerSlice, kWordsPerSlice},
                                     {kWordsPerSlice, kWordsPerSlice, kWordsPerSlice}}};
  explicit MemoryMap(int share = 0) : MemoryMap(Shares{share, share}) {}
  explicit MemoryMap(const Shares& shares, const Room& room = kAllRoom)
      : shares_(shares), room_(room) {}

  Quad Words(Hemisphere side, int column, int count);
  Pair PairWords(Hemisphere side, int column, int plane, int count);
  // One slice of a column.
  Single SingleWords(Hemisphere side, int column, int plane, int count);
  // Rows of all 32 weight slices; returns the first.
  int WeightRows(Hemisphere side, int count);
  // `rows` rows of `words` fp16 vectors each, word w in slices 2 (w % 16), 2 (w % 16) + 1 of the
  // weight columns, 16 words of all rows after the 16 before; returns the first.
  int EmbeddingRows(Hemisphere side, int words, int rows);
  // The side with more room for weights left (west where equal).
  Hemisphere Roomier() const;
  // Of weights, in words of four slices.
  int64_t weight_quads(Hemisphere side) const { return sides_[static_cast<int>(side)].quads(); }
  // Gives a matrix its place. Only activation columns below `columns` hold weights of it.
  Matrix Place(Matrix m, int columns = kColumns, Turn turn = Turn::kLater);
  Matrix Place(Hemisphere side, int rows, int slots, int slot_stride = 1, int columns = kColumns) {
    return Place(Matrix{side, 0, rows, slots, slot_stride}, columns);
  }

  int column_words_used(Hemisphere side, int column) const;
  int64_t bytes_used() const;
  // Ok, or which part of SRAM is too small and by how much.
  absl::Status Check() const;
  // Bytes that lie beyond the ends of their slices.
  int64_t excess_bytes(Hemisphere side) const;

 private:
  struct Side {
    std::array<int, kStreamQuads> weights{};  // words of a slice of each weight column
    std::array<int, kColumns> more{};         // of an activation column, from its end
    std::array<int, kColumns> low{};          // and from where its room begins
    int in(int column) const { return more[column] + low[column]; }
    std::array<std::array<int, kSlicesPerColumn>, kColumns> words{};
    int64_t quads() const;  // of weights
  };
  int TakeWords(Hemisphere side, int column, int plane, int planes, int count);
  // What a strip takes of activation columns below `columns`: only from those that are behind; from
  // the ends of all; from where their room begins.
  enum class Take : uint8_t { kBehind, kEnds, kBeginnings };
  Strip TakeStrip(Hemisphere side, int first_slot, int slots, int cycles, int columns, Take take);
  // Slots of a strip that takes from all activation columns.
  int PieceOf(Hemisphere side, int slots, int cycles, int columns) const;
  absl::Status CheckSide(Hemisphere side) const;

  const Shares shares_;
  const Room room_;
  std::array<std::array<int, 2>, 2>
      owed_{};  // by side and turn: slots, in 1/kWhole, that the activation columns are behind their share
  std::array<Side, 2> sides_{};
};

}  // namespace lockstep
