#pragma once
// RMS norm y = x / sqrt(mean(x^2) + eps) * gain of vectors that are made word by word, for a batch of
// positions at once. Two ways:
//
//   whole      words of x | ... | last word | sum over lanes | y of all words
//   streamed   words of x | sum of the first ones | a factor | y of each word as it comes
//                                                 last word | sum over lanes | rest
//
// Streamed, products of y need not wait for the last word: y = x * factor * gain, the factor being what
// the first words' mean gives, and whoever multiplies y multiplies the result by `rest`, one scalar a
// position. The factor also holds 1/16, so that an element may be 10^6 / gain times larger than those
// words on average before fp16 overflows; normal fp16 begins at 10^-3 of them.
//
// Sums are made in InwardOrder, whichever order words come in.

#include <optional>
#include <vector>

#include "chip/latency.h"
#include "runtime/kernels/block.h"
#include "runtime/kernels/chain.h"
#include "runtime/kernels/kernels.h"

namespace lockstep {

// The order in which words of a vector are summed and multiplied: 0, last, 1, last but one, ... Both
// hemispheres make words at once, from either end, wherever the cut between them lies: layout and batch
// do not show in the bits.
std::vector<int> InwardOrder(int words);
// Where `word` stands in it.
int InwardRank(int word, int words);

// sum / elements + eps, of the sum of squares in every lane of a vector.
Chain::Value MeanPlusEps(Chain& c, Quad sum, int elements, float eps);

class Norm {
 public:
  struct Shape {
    int words, elements;  // of a position; lanes beyond `elements` are zero
    float eps;
    int batch = 1;
    bool streamed = false;
  };
  struct Places {
    Quad x, gain;       // x: `words` vectors a position
    Quad scratch;       // kScratch vectors a position, in a column that holds neither
    Pair west, east;    // y
    Quad rest, half;    // streamed: rest, and half of it; a vector a position, in other columns
  };
  static constexpr int kScratch = 4;

  Norm(const ChipTiming& timing, Placer& placer, const Shape& shape, const Places& at);

  // Word `word` of x is emitted, of all positions. y (and rest) are emitted with the last one.
  void Add(int word);
  void AddAll();

 private:
  Quad Sums() const { return at_.scratch; }
  Quad OverLanes() const { return at_.scratch + shape_.batch; }
  Quad Factors() const { return at_.scratch + 2 * shape_.batch; }
  Quad Inverses() const { return at_.scratch + 3 * shape_.batch; }
  void Square(int word, bool first);
  void Scale();
  void Factor();
  void Rest();
  void Apply(int word);

  const ChipTiming& timing_;
  Placer& placer_;
  const Shape shape_;
  const Places at_;
  const std::vector<int> order_;
  const int early_;  // words, of order_, that the factor is made of
  std::vector<bool> added_;
  int squared_ = 0;  // of order_
};

}  // namespace lockstep
