#pragma once
// The frame of the programs of a token and of a batch, and what they decide alike, so that both give the
// same bits:
//
//   embedding | hidden vectors in | layers | hidden vectors out | head      what of it PartShape says
//
// Products and what lies between them differ; they are the derived class' part.

#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "chip/latency.h"
#include "runtime/compiler/compiler.h"
#include "runtime/compiler/layout.h"
#include "runtime/compiler/plan.h"
#include "runtime/compiler/stage.h"
#include "runtime/kernels/attention.h"
#include "runtime/kernels/collective.h"
#include "runtime/kernels/int8_cache.h"
#include "runtime/kernels/int8_norm.h"
#include "runtime/kernels/kernels.h"
#include "runtime/kernels/norm.h"
#include "runtime/kernels/transfer.h"

namespace lockstep {

// What kernels need of the table of latencies: a value that waits in the VXM is passed on by `or`,
// so it waits in steps of that; sums and maxima start with an `or` in place of their operation.
absl::Status CheckLatencies(const ChipTiming& timing);

// Of steps of `batch` consecutive positions of one sequence; plan and group outlive it. Areas hold
// vectors position by position.
class StepEmitter {
 public:
  CompiledChip Emit();

 protected:
  StepEmitter(const Plan& plan, const StageShape& stage, const PartShape& part, Layout layout,
              const Group& group, const ChipTiming& timing, int batch, const Placements* known);
  virtual ~StepEmitter() = default;

  // The layer's attention on the norm, added to the residual.
  virtual void AttentionPart(const LayerMap& layer) = 0;
  virtual void GateAndUp(const LayerMap& layer) = 0;
  // Adds W x to the residual, x the result of GateAndUp.
  virtual void Down(const LayerMap& layer) = 0;
  // Logits of the positions ForHead.
  virtual std::vector<Segment32> Head() = 0;

  // Consecutive positions of the batch.
  struct Positions {
    int first, count;
  };
  // Whose hidden vectors the head wants: the last one, or all.
  Positions ForHead() const;

  // The next norm is that of the residual whose words are now to come, before a layer's feed-forward.
  void BeginMlpNorm(const LayerMap& layer) { BeginLayerNorm(layer.mlp_gain, at_.normed); }
  // Word `word` of all positions has been added to the residual: to whoever takes it.
  void WordIsMade(int word);
  // Whether the sums of W x travel between the chips as fp16: links would be busy for more than a hop
  // longer than the product.
  bool SumsTravelAsHalf(const SplitMatrix& w) const;
  // A chip's part of word `word` of position `position`.
  struct ChipPart {
    Quad at;
    int position, word;
  };
  // Adds a word of a position's residual the sum of `from` over the chips.
  void AddOverChips(Quad from, int position, int word, bool half);
  // The same of all words of all positions, in the order in which they come; a word that all positions
  // have goes to whoever takes it.
  void AddOverChips(const std::vector<ChipPart>& parts, bool half);
  // Keys and values of a layer into its cache, then the queries' attention, into heads_out.
  void Attend(const LayerMap& layer);

  const Plan& plan_;
  const StageShape stage_;
  const PartShape part_;
  const int batch_;
  const int words_;  // of a hidden vector
  const CacheShape cache_;
  const Layout layout_;
  const ModelMap map_;  // as the sequence sees it
  const ScratchMap& at_;
  const ChipTiming timing_;
  const Group& group_;
  Placer placer_;
  Kernels kernels_;
  Collectives collectives_;
  Attention attention_;
  Int8Cache int8_cache_;
  // Whether products in fp16 begin with the words of a layer's norm that are there
  // (runtime/kernels/norm.h): not where a hidden vector has few.
  const bool streamed_;
  bool Int8() const { return plan_.weights == NumberFormat::kInt8; }

 private:
  // Which keys a position sees.
  void Masks();
  // Looks the tokens up, into the residual.
  void Embedding();
  // Of a layer; `to` is how products in int8 take it.
  void BeginLayerNorm(Quad gain, const OperandMap& to);
  // Before attention.
  void BeginAttentionNorm(const LayerMap& layer) {
    BeginLayerNorm(layer.attention_gain, at_.normed_late);
  }
  void BeginNorm(Quad gain, bool streamed, Positions of);
  std::vector<int> InOrder(Positions of) const;
  void Keep(int row);
  void Take(int row);
  Pair InboxRow(int row) const;
  void Receive(CompiledChip& out);
  void PassOn();
  void EmitLast(CompiledChip& out, const std::function<void()>& emit);
  void Layers(CompiledChip& out);
  void SumAsHalf(Quad from, int position, int word, bool add);
  int GroupsByOwner(int words) const;
  int SumByOwner(const std::vector<ChipPart>& parts, bool add,
                 const std::function<void(int)>& summed);
  Attention::ValueTables ValueTables() const;
  void AttendInt8(const LayerMap& layer);
  Pace Pacing() const;
  Positions Arriving() const;
  Positions Leaving() const;

  // Of the residual, as it is or will be: one or the other.
  std::optional<Norm> norm_;
  std::optional<Int8Norm> int8_norm_;
  std::optional<WordSender> sender_;
};

}  // namespace lockstep
