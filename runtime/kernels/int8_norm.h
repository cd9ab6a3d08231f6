#pragma once
// The RMS norm of vectors that are made word by word, for products in int8: quantised in groups as
// words come, so that products need not wait for the last word. Of a batch of positions each has scales
// of its own.
//
//   words of x | largest of the 1st group | its scale, its words | .. | last word | sum | rest
//
// A scale takes up any factor of a group's words, so it is x * gain that is quantised, and whoever
// multiplies it multiplies the result by `rest` = 1 / sqrt(mean(x^2) + eps).

#include <array>
#include <vector>

#include "chip/latency.h"
#include "runtime/kernels/block.h"
#include "runtime/kernels/place.h"

namespace lockstep {

// Sizes of the groups of vectors that share a scale, in the order in which they are multiplied. Of
// words that come faster than they are multiplied: each group twice the one before, so that the
// first ones are soon there. The other way round, where a product waits for its last words.
std::vector<int> GrowingGroups(int words);
// Of words that come one by one from a product that is as long as the next: few last.
std::vector<int> GroupsOfMade(int words);

class Int8Norm {
 public:
  struct Shape {
    int words, elements;  // lanes beyond `elements` are zero
    float eps;
    std::vector<int> groups;  // of words, in InwardOrder (runtime/kernels/norm.h)
    int batch = 1;
  };
  // Vectors of a position next to each other.
  struct Places {
    Quad x, gain;             // x: `words` vectors a position
    Quad scratch;             // kScratch vectors a position, in a column that holds none of the others
    std::array<Single, 2> q;  // `words` vectors a position, in other slices than x and gain
    std::array<Quad, 2> scale;  // a vector a group of a position
    std::vector<Quad> rest;     // a vector a position, in any columns
  };
  static constexpr int kScratch = 6;

  Int8Norm(const ChipTiming& timing, Placer& placer, const Shape& shape, const Places& at);

  // Word `word` of x is emitted, of all positions. A group is emitted with its last word, rest with the last of all.
  void Add(int word);

 private:
  // Groups take turns, so that the next one's words need not wait.
  Quad Largest() const { return at_.scratch + (2 + group_ % 2 * 2) * shape_.batch; }
  void Take(int word, bool first, bool first_of_group);
  void Square(int word, bool first);
  void Size(int word, bool first_of_group);
  void Rest();

  const ChipTiming& timing_;
  Placer& placer_;
  const Shape shape_;
  const Places at_;
  const std::vector<int> order_;
  std::vector<bool> added_;
  int taken_ = 0;                    // of order_
  int group_ = 0, group_first_ = 0;  // the group under way, and where in order_ it begins
};

}  // namespace lockstep
