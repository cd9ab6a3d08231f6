// The forward pass of a Llama as kernels in order (runtime/compiler/compiler.h).
#include "runtime/compiler/compiler.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "chip/check.h"
#include "runtime/compiler/step_emitter.h"
#include "runtime/kernels/int8_kernels.h"
#include "runtime/kernels/product.h"
#include "runtime/kernels/rotary.h"

namespace lockstep {
namespace {

class Compiler : public StepEmitter {
 public:
  Compiler(const Plan& plan, const StageShape& stage, const PartShape& part, Layout layout,
           const Group& group, const ChipTiming& timing, const Placements* known)
      : StepEmitter(plan, stage, part, std::move(layout), group, timing, 1, known),
        int8_{timing_, placer_} {}

 private:
  struct Term {
    const char* name;
    const SplitMatrix& w;
    const OperandMap& x;
    const ProductMap& y;
    std::optional<Quad> by{};  // int8: y is multiplied by it
  };
  // Called when word `word` of a term's y is stored, at `at`.
  using OnWord = std::function<void(size_t term, int word, Quad at)>;

  struct Source {
    size_t term;
    const SplitMatrix::Part* part;
  };

  // y = W x for all terms, which have x in common, on both hemispheres at once.
  void Multiply(const std::vector<Term>& terms, Product::Way way, const OnWord& on_word) {
    const OperandMap& x = terms.front().x;
    const bool int8 = terms.front().w.parts.front().matrix.format == NumberFormat::kInt8;
    if (int8) way.groups = x.groups, way.turns = x.groups.size() > 1;
    std::vector<Product> products;
    std::vector<std::vector<Source>> sources;
    for (Hemisphere side : {Hemisphere::kWest, Hemisphere::kEast}) {
      std::vector<Source> parts;
      for (size_t t = 0; t < terms.size(); ++t) {
        for (const SplitMatrix::Part& part : terms[t].w.parts) {
          if (part.matrix.side == side) parts.push_back({t, &part});
        }
      }
      if (parts.empty()) continue;
      products.push_back(ProductOf(terms, parts, way));
      sources.push_back(std::move(parts));
    }
    PlaceTogether(products, [&](size_t product, const Product::Sum& made) {
      const Source& s = sources[product][made.part];
      const int side = static_cast<int>(s.part->matrix.side), tile = made.tile;
      if (int8 && made.sum + 1 < static_cast<int>(x.groups.size())) return;
      on_word(s.term, s.part->first_row / kTileRows + tile, terms[s.term].y.y[side] + tile);
    });
  }
  // Of parts on one side.
  Product ProductOf(const std::vector<Term>& terms, const std::vector<Source>& sources,
                    const Product::Way& way) {
    std::vector<ProductPart> parts;
    const int side = static_cast<int>(sources.front().part->matrix.side);
    for (const Source& s : sources) {
      const Quad y = terms[s.term].y.y[side];
      parts.push_back({terms[s.term].name, s.part->matrix, {y, y}});
    }
    const OperandMap& x = terms.front().x;
    if (sources.front().part->matrix.format != NumberFormat::kInt8) {
      return Product(placer_, timing_, std::move(parts), x.half[side], way);
    }
    const Single b = x.bytes[side];
    return Product(placer_, timing_, std::move(parts), {b.side, b.column, b.plane, b.address}, way,
                   [this, terms, sources](const Product::Sum& sum) {
                     const Source& s = sources[sum.part];
                     return Scaled(terms[s.term], *s.part, sum);
                   });
  }
  // Adds a sum of an int8 product to a word of y, scaled.
  Product::Taker Scaled(const Term& term, const SplitMatrix::Part& part, const Product::Sum& sum) const {
    const Hemisphere side = part.matrix.side;
    const int groups = static_cast<int>(term.x.groups.size());
    Int8Kernels::Scaling scaling{term.x.scale[static_cast<int>(Other(side))] + sum.sum, sum.sum > 0};
    if (sum.sum + 1 == groups) scaling.row_scale = part.row_scale + sum.tile, scaling.by = term.by;
    return int8_.Take(term.name, side, scaling, term.y.y[static_cast<int>(side)] + sum.tile);
  }
  static std::vector<Segment32> SegmentsOf(const Term& term) {
    std::vector<Segment32> out;
    for (const SplitMatrix::Part& part : term.w.parts) {
      out.push_back({term.y.y[static_cast<int>(part.matrix.side)], part.first_row / kTileRows,
                     part.matrix.tiles()});
    }
    return out;
  }

  // Makes the int8 form of x's group `group`, which begins with vector `first`.
  void Quantise(Pair x, const OperandMap& to, int group, int first) {
    int8_.Quantise(x + first, to.groups[group], at_.norm_scratch + group % 2 * 2,
                   {to.bytes[0] + first, to.bytes[1] + first},
                   {to.scale[0] + group, to.scale[1] + group});
  }
  // Of the heads' outputs, packed, whose largest has been found.
  void QuantiseHeads(Pair packed) {
    const OperandMap& to = at_.heads_out;
    int8_.QuantiseBy(packed, to.groups[0], at_.norm_scratch, {to.bytes[0], to.bytes[1]},
                     {to.scale[0], to.scale[1]});
  }

  // Residual += sum over the chips of W x, each word on its way while the next ones are made, and on
  // into the norm.
  void AddToResidual(const char* name, const SplitMatrix& w, const OperandMap& x, bool turns) {
    const bool half = SumsTravelAsHalf(w);
    const Product::Way way{.turns = turns, .inwards = true};
    Multiply({{name, w, x, at_.partial}}, way, [&](size_t, int word, Quad at) {
      AddOverChips(at, 0, word, half);
      WordIsMade(word);
    });
  }

  // How products of a layer's norm take it; what is left to multiply them by.
  Product::Way Normed() const {
    if (!streamed_ && !Int8()) return {};
    return {.turns = true, .order = InwardOrder(words_)};
  }
  std::optional<Quad> Int8Rest() const {
    return Int8() ? std::optional(at_.norm_rest) : std::nullopt;
  }
  std::optional<Kernels::Factor> Rest() const {
    if (!streamed_) return std::nullopt;
    return Kernels::Factor{at_.norm_rest, at_.norm_half};
  }

  void QueriesKeysValues(const LayerMap& layer) {
    const OperandMap& x = at_.normed_late;
    const std::optional<Quad> rest = Int8Rest();
    const Term k{"k", layer.k, x, at_.k32, rest}, v{"v", layer.v, x, at_.v32, rest};
    const Term both{"k and v", layer.keys_values, x, at_.keys_values32, rest};
    const Term q{"q", layer.q, x, at_.q32, rest};
    const OnWord scale = [&](size_t, int, Quad at) {
      if (streamed_) kernels_.Scale(at, 1, at_.norm_rest, 0, 1);
    };
    if (layer.keys_values.parts.empty()) {
      Multiply({k, v, q}, Normed(), scale);
    } else {
      Multiply({both, q}, Normed(), scale);
    }
    const Kernels::RotaryTables rotary{map_.cos, map_.sin_low, map_.sin_high};
    for (const Segment32& s : SegmentsOf(k)) {
      RotateKeys(kernels_, cache_, s.at, s.words, rotary, at_.k + s.first);
    }
    for (const Segment32& s : SegmentsOf(v)) kernels_.ToHalf(s.at, s.words, at_.v + s.first);
    for (const Segment32& s : SegmentsOf(both)) {
      for (int i = 0; i < s.words; ++i) {
        const int kv = s.first + i;
        kernels_.SplitKeyValue(s.at + i, map_.low_half, at_.key_twice + kv, at_.v + kv);
        RotateKeys(kernels_, cache_, at_.key_twice + kv, 1, rotary, at_.k + kv);
      }
    }
    for (const Segment32& s : SegmentsOf(q)) {
      RotateQueries(kernels_, cache_, s.at, s.words, rotary, at_.q + s.first);
    }
  }

  void AttentionPart(const LayerMap& layer) override {
    QueriesKeysValues(layer);
    Attend(layer);
    const OperandMap& x = PackOutputs(layer, plan_.outputs());
    BeginMlpNorm(layer);
    AddToResidual("o", layer.o, x, false);
  }

  // The attention output as o multiplies it.
  const OperandMap& PackOutputs(const LayerMap& layer, int outputs) {
    const Pair* packed = at_.heads_end_to_end.half;
    // Not of what is packed, which is there later.
    if (Int8()) int8_.Largest(at_.heads_out.half[0], outputs, at_.norm_scratch);
    if (layer.heads_end_to_end) {
      kernels_.PackHeads(at_.heads_out.half, outputs, plan_.model.head_dim, packed[0], packed[1],
                         {layer.heads_lane, layer.heads_mask});
      if (Int8()) QuantiseHeads(packed[0]);
    } else if (Int8()) {
      int8_.PackHalves(at_.heads_out.half[0], outputs, at_.packed_heads);
      QuantiseHeads(at_.packed_heads);
    }
    return layer.heads_end_to_end && !Int8() ? at_.heads_end_to_end : at_.heads_out;
  }

  void GateAndUp(const LayerMap& layer) override {
    std::vector<Quad> gate(plan_.ffn_words()), up(plan_.ffn_words());
    std::vector<int> parts(plan_.ffn_words());
    int group = 0, first = 0;  // the group that is being made
    const auto made = [&](int word) { return parts[word] == 2; };
    const std::optional<Quad> rest = Int8Rest();
    Multiply({{"gate", layer.gate, at_.normed, at_.gate, rest},
              {"up", layer.up, at_.normed, at_.up, rest}},
             Normed(), [&](size_t term, int word, Quad at) {
               (term == 0 ? gate : up)[word] = at;
               if (++parts[word] < 2) return;
               kernels_.SwiGlu(gate[word], up[word], 1, at_.mlp.half[0] + word,
                               at_.mlp.half[1] + word, Rest());
               for (; first < plan_.ffn_words() && Int8() && made(first + at_.mlp.groups[group] - 1);
                    first += at_.mlp.groups[group++]) {
                 Quantise(at_.mlp.half[0], at_.mlp, group, first);
               }
             });
  }

  void Down(const LayerMap& layer) override {
    AddToResidual("down", layer.down, at_.mlp, streamed_);
  }

  std::vector<Segment32> Head() override {
    const int first = part_.sequence * plan_.ShardWords(stage_.head);
    const ProductMap logits{{at_.logits[0] + first, at_.logits[1] + first}};
    const Term head{"head", map_.head, at_.normed, logits};
    Multiply({head}, {}, [](size_t, int, Quad) {});
    return SegmentsOf(head);
  }

  Int8Kernels int8_;
};

}  // namespace

absl::StatusOr<CompiledChip> CompileChip(const Plan& plan, const StageShape& stage,
                                         const PartShape& part, const Group& group,
                                         const ChipTiming& timing, const Placements* known) {
  RETURN_IF_ERROR(CheckLatencies(timing));
  Layout layout = LayOut(plan, stage);
  RETURN_IF_ERROR(layout.fits);
  return Compiler(plan, stage, part, std::move(layout), group, timing, known).Emit();
}

}  // namespace lockstep
