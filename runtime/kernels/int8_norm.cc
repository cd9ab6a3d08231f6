// Emission of norms for int8 (runtime/kernels/int8_norm.h).
#include "runtime/kernels/int8_norm.h"

#include <algorithm>

#include "runtime/kernels/chain.h"
#include "runtime/kernels/int8_kernels.h"
#include "runtime/kernels/kernels.h"
#include "runtime/kernels/norm.h"

namespace lockstep {
namespace {
constexpr int kFewest = 2, kLeastWords = 4;
}  // namespace

std::vector<int> GrowingGroups(int words) {
  std::vector<int> groups;
  for (int left = words, size = kFewest; left > 0; left -= groups.back(), size *= 2) {
    groups.push_back(left < 2 * size ? left : size);
  }
  return groups;
}

std::vector<int> GroupsOfMade(int words) {
  if (words < kLeastWords) return {words};
  return {words - words / 4, words / 4};
}

Int8Norm::Int8Norm(const ChipTiming& timing, Placer& placer, const Shape& shape, const Places& at)
    : timing_(timing),
      placer_(placer),
      shape_(shape),
      at_(at),
      order_(InwardOrder(shape.words)),
      added_(shape.words) {}

void Int8Norm::Add(int word) {
  added_[word] = true;
  Int8Batch batch;
  if (shape_.batch > 1) {
    batch = {shape_.batch, shape_.words, static_cast<int>(shape_.groups.size())};
  }
  for (; taken_ < shape_.words && added_[order_[taken_]]; ++taken_) {
    Take(order_[taken_], taken_ == 0, taken_ == group_first_);
    const int end = group_first_ + shape_.groups[group_];
    if (taken_ + 1 < end) continue;
    const std::array<Quad, 2> scale{at_.scale[0] + group_, at_.scale[1] + group_};
    Int8Kernels{timing_, placer_}.Quantise({at_.x, at_.gain},
                                           {order_.begin() + group_first_, order_.begin() + end},
                                           Largest(), at_.q, scale, batch);
    group_first_ = end, ++group_;
  }
  if (taken_ == shape_.words) Rest();
}

// Sum of squares, and the largest of a group.
void Int8Norm::Take(int word, bool first, bool first_of_group) {
  if (shape_.batch > 1) {
    Square(word, first);
    return Size(word, first_of_group);
  }
  const Quad sums = at_.scratch, largest = Largest();
  Chain c(timing_, "rmsnorm square", 1);
  const Chain::Value v = c.Load(at_.x + word);
  const Chain::Value square = c.Op(Opcode::kMul, v, v);
  const Chain::Value size = c.Unary(Opcode::kAbs, c.Op(Opcode::kMul, v, c.Load(at_.gain + word)));
  c.Store(first ? square : c.Op(Opcode::kAdd, square, c.Load(sums)), sums);
  // Either way an operation more than the sum: both go to one column.
  c.Store(
      first_of_group ? c.OpBits(Opcode::kOr, size, 0) : c.Op(Opcode::kMax, size, c.Load(largest)),
      largest);
  placer_.Place(c.Build());
}

// The same of many positions, of which sum and largest, in one column, would meet.
void Int8Norm::Square(int word, bool first) {
  const int most = InPlace(timing_, Opcode::kAdd, at_.scratch);
  for (int i = 0; i < shape_.batch; i += most) {
    Chain c(timing_, "rmsnorm square", std::min(most, shape_.batch - i));
    const Quad sums = at_.scratch + i;
    const Chain::Value v = c.Load(at_.x + (i * shape_.words + word), shape_.words);
    const Chain::Value square = c.Op(Opcode::kMul, v, v);
    c.Store(first ? square : c.Op(Opcode::kAdd, square, c.Load(sums)), sums);
    placer_.Place(c.Build());
  }
}
void Int8Norm::Size(int word, bool first_of_group) {
  const int most = InPlace(timing_, Opcode::kMax, at_.scratch);
  for (int i = 0; i < shape_.batch; i += most) {
    Chain c(timing_, "rmsnorm size", std::min(most, shape_.batch - i));
    const Quad largest = Largest() + i;
    const Chain::Value v = c.Load(at_.x + (i * shape_.words + word), shape_.words);
    const Chain::Value size =
        c.Unary(Opcode::kAbs, c.Op(Opcode::kMul, v, c.Load(at_.gain + word, 0)));
    c.Store(first_of_group ? size : c.Op(Opcode::kMax, size, c.Load(largest)), largest);
    placer_.Place(c.Build());
  }
}

void Int8Norm::Rest() {
  const Quad sums = at_.scratch, over_lanes = at_.scratch + shape_.batch;
  Kernels{timing_, placer_}.LaneSum(sums, over_lanes, shape_.batch);
  const int most = InPlace(timing_, Opcode::kRsqrt, over_lanes);
  for (int i = 0; i < shape_.batch; i += most) {
    Chain c(timing_, "rmsnorm rest", std::min(most, shape_.batch - i));
    const Chain::Value sum = MeanPlusEps(c, over_lanes + i, shape_.elements, shape_.eps);
    const Chain::Value rest = c.Unary(Opcode::kRsqrt, sum);
    for (Quad to : at_.rest) c.Store(rest, to + i);
    placer_.Place(c.Build());
  }
}

}  // namespace lockstep
