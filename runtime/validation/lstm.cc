// Four products and three chains (runtime/validation/lstm.h).
#include "runtime/validation/lstm.h"

#include "chip/check.h"
#include "runtime/kernels/chain.h"

namespace lockstep {
namespace {

constexpr Hemisphere kWest = Hemisphere::kWest, kEast = Hemisphere::kEast;
constexpr int kAfterV = 1024;  // v takes the first words of its column

// 2 sigmoid(z): what is halved once, after it was multiplied.
Chain::Value TwiceSigmoid(Chain& c, Quad z) {
  const Chain::Value half = c.OpImm(Opcode::kMul, c.Load(z), 0.5f);
  return c.OpImm(Opcode::kAdd, c.Unary(Opcode::kTanh, half), 1.0f);
}

}  // namespace

LstmMap::LstmMap(const LstmShape& shape)
    : v_west{kWest, 0, 0, 0},
      v_east{kEast, 0, 0, 0},
      c{kWest, 0, kAfterV},
      c_next{kWest, 1, kAfterV},
      sum_i{kWest, 1, 0},
      sum_f{kWest, 2, 0},
      sum_g{kEast, 1, 0},
      sum_o{kEast, 2, 0},
      candidate{kEast, 0, kAfterV} {
  LOCKSTEP_CHECK(shape.hidden >= kTileRows && shape.hidden % kTileRows == 0 && shape.input >= 1 &&
                     shape.columns() <= kAfterV * kTileRows,
                 "a step of %d and %d", shape.hidden, shape.input);
  const int slots = CeilDiv(shape.columns(), kHalfLanes);
  i = {kWest, 0, shape.hidden, slots, 1};
  f = {kWest, i.weight_rows(), shape.hidden, slots, 1};
  g = {kEast, 0, shape.hidden, slots, 1};
  o = {kEast, g.weight_rows(), shape.hidden, slots, 1};
}

void PlaceLstmStep(Placer& placer, const ChipTiming& timing, const LstmShape& shape,
                   const LstmMap& map) {
  PlaceMatVec(placer, timing, "input gate", map.i, map.v_west, map.sum_i);
  PlaceMatVec(placer, timing, "candidate", map.g, map.v_east, map.sum_g);
  PlaceMatVec(placer, timing, "forget gate", map.f, map.v_west, map.sum_f);
  PlaceMatVec(placer, timing, "output gate", map.o, map.v_east, map.sum_o);

  Chain add(timing, "candidate", shape.words());
  add.Store(add.Op(Opcode::kMul, TwiceSigmoid(add, map.sum_i),
                   add.Unary(Opcode::kTanh, add.Load(map.sum_g))),
            map.candidate);
  placer.Place(add.Build());

  Chain cell(timing, "cell", shape.words());
  const Chain::Value kept = cell.Op(Opcode::kMul, TwiceSigmoid(cell, map.sum_f), cell.Load(map.c));
  cell.Store(cell.OpImm(Opcode::kMul, cell.Op(Opcode::kAdd, kept, cell.Load(map.candidate)), 0.5f),
             map.c_next);
  placer.Place(cell.Build());

  Chain out(timing, "output", shape.words());
  const Chain::Value shown = out.Op(Opcode::kMul, TwiceSigmoid(out, map.sum_o),
                                    out.Unary(Opcode::kTanh, out.Load(map.c_next)));
  const Chain::Value h = out.OpImm(Opcode::kMul, shown, 0.5f);
  out.Store16(out.To16(h), map.v_west);
  out.Store16(out.To16(h), map.v_east);
  placer.Place(out.Build());
}

}  // namespace lockstep
