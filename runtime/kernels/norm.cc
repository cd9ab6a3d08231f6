// Emission of norms (runtime/kernels/norm.h).
#include "runtime/kernels/norm.h"

#include <algorithm>

namespace lockstep {
namespace {

constexpr float kRoom = 16.0f;  // a power of two: exact

}  // namespace

std::vector<int> InwardOrder(int words) {
  std::vector<int> order;
  for (int w = 0; w < words; ++w) order.push_back(w % 2 == 0 ? w / 2 : words - 1 - w / 2);
  return order;
}

int InwardRank(int word, int words) {
  return word < CeilDiv(words, 2) ? 2 * word : 2 * (words - 1 - word) + 1;
}

Chain::Value MeanPlusEps(Chain& c, Quad sum, int elements, float eps) {
  const Chain::Value mean =
      c.OpImm(Opcode::kMul, c.Load(sum), 1.0f / static_cast<float>(elements));
  return c.OpImm(Opcode::kAdd, mean, eps);
}

Norm::Norm(const ChipTiming& timing, Placer& placer, const Shape& shape, const Places& at)
    : timing_(timing),
      placer_(placer),
      shape_(shape),
      at_(at),
      order_(InwardOrder(shape.words)),
      early_(CeilDiv(shape.words, 8)),
      added_(shape.words) {}

void Norm::AddAll() {
  for (int w = 0; w < shape_.words; ++w) Add(w);
}

void Norm::Add(int word) {
  added_[word] = true;
  for (; squared_ < shape_.words && added_[order_[squared_]]; ++squared_) {
    Square(order_[squared_], squared_ == 0);
    if (!shape_.streamed) continue;
    if (squared_ + 1 == early_) {
      Factor();
      for (int i = 0; i < squared_; ++i) Apply(order_[i]);
    }
    if (squared_ + 1 >= early_) Apply(order_[squared_]);
  }
  if (squared_ < shape_.words) return;
  if (shape_.streamed) return Rest();
  Scale();
  for (int w = 0; w < shape_.words; ++w) Apply(w);
}

// Sum = x^2, or sum + x^2, of a word.
void Norm::Square(int word, bool first) {
  const int most = InPlace(timing_, Opcode::kAdd, Sums());
  for (int i = 0; i < shape_.batch; i += most) {
    Chain c(timing_, "rmsnorm square", std::min(most, shape_.batch - i));
    const Chain::Value v = c.Load(at_.x + (i * shape_.words + word), shape_.words);
    const Chain::Value square = c.Op(Opcode::kMul, v, v);
    c.Store(first ? square : c.Op(Opcode::kAdd, square, c.Load(Sums() + i)), Sums() + i);
    placer_.Place(c.Build());
  }
}

// Factors = 1 / sqrt(mean + eps).
void Norm::Scale() {
  Kernels{timing_, placer_}.LaneSum(Sums(), OverLanes(), shape_.batch);
  for (int i = 0; i < shape_.batch; ++i) {
    Chain c(timing_, "rmsnorm scale", 1);
    const Chain::Value sum = MeanPlusEps(c, OverLanes() + i, shape_.elements, shape_.eps);
    c.Store(c.Unary(Opcode::kRsqrt, sum), Factors() + i);
    placer_.Place(c.Build());
  }
}

// Factors = 1 / (kRoom sqrt(m + eps)), m the mean so far; inverses = kRoom sqrt(m + eps).
void Norm::Factor() {
  Kernels{timing_, placer_}.LaneSum(Sums(), OverLanes(), shape_.batch);
  int elements = 0;
  for (int i = 0; i < early_; ++i) elements += std::min(kLanes, shape_.elements - order_[i] * kLanes);
  for (int i = 0; i < shape_.batch; ++i) {
    Chain c(timing_, "rmsnorm factor", 1);
    const Chain::Value sum = MeanPlusEps(c, OverLanes() + i, elements, shape_.eps);
    const Chain::Value root = c.Unary(Opcode::kRsqrt, sum);
    c.Store(c.OpImm(Opcode::kMul, root, 1 / kRoom), Factors() + i);
    c.Store(c.OpImm(Opcode::kMul, c.Op(Opcode::kMul, sum, root), kRoom), Inverses() + i);
    placer_.Place(c.Build());
  }
}

void Norm::Rest() {
  Kernels{timing_, placer_}.LaneSum(Sums(), OverLanes(), shape_.batch);
  for (int i = 0; i < shape_.batch; ++i) {
    Chain c(timing_, "rmsnorm rest", 1);
    const Chain::Value root = c.Unary(
        Opcode::kRsqrt, MeanPlusEps(c, OverLanes() + i, shape_.elements, shape_.eps));
    const Chain::Value rest = c.Op(Opcode::kMul, root, c.Load(Inverses() + i));
    c.Store(rest, at_.rest + i);
    c.Store(c.OpImm(Opcode::kMul, rest, 0.5f), at_.half + i);
    placer_.Place(c.Build());
  }
}

void Norm::Apply(int word) {
  Chain c(timing_, "rmsnorm apply", shape_.batch);
  const Chain::Value scaled =
      c.Op(Opcode::kMul, c.Load(at_.x + word, shape_.words), c.Load(Factors()));
  const Chain::Value y = c.Op(Opcode::kMul, scaled, c.Load(at_.gain + word, 0));
  c.Store16(c.To16(y), at_.west + word, shape_.words);
  c.Store16(c.To16(y), at_.east + word, shape_.words);
  placer_.Place(c.Build());
}

}  // namespace lockstep
