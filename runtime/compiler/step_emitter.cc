// What programs are emitted with alike (runtime/compiler/step_emitter.h).
#include "runtime/compiler/step_emitter.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/isa.h"
#include "runtime/compiler/landing.h"
#include "runtime/compiler/relay.h"
#include "runtime/compiler/sequence_map.h"
#include "runtime/kernels/chain.h"

namespace lockstep {
namespace {

constexpr int kLeastStreamed = 4;  // words
// Vectors on each link for a word a chip: a part each to its owner, as fp16, and the sums, in fp32.
constexpr int kVectorsByOwner = 2 + 4;

// What the LWs of a program take.
int64_t StreamedBytes(const Program& program) {
  int64_t bytes = 0;
  for (int q = 0; q < kQueues; ++q) {
    const std::vector<Instruction>& text = program.queues[q];
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i].op != Opcode::kLw) continue;
      const bool repeated = i + 1 < text.size() && text[i + 1].op == Opcode::kRepeat;
      bytes += int64_t{repeated ? text[i + 1].arg[0] + 1 : 1} * text[i].arg[3] * kVectorBytes;
    }
  }
  return bytes;
}

}  // namespace

absl::Status CheckLatencies(const ChipTiming& timing) {
  const auto cycles = [&](Opcode op) { return timing.d_func[static_cast<int>(op)]; };
  const int step = cycles(Opcode::kOr);
  for (Opcode op :
       {Opcode::kAdd, Opcode::kMax, Opcode::kSub, Opcode::kMul, Opcode::kMask, Opcode::kAnd,
        Opcode::kCmpGt, Opcode::kTanh, Opcode::kExp, Opcode::kRsqrt, Opcode::kConvert}) {
    const bool equal = op == Opcode::kAdd || op == Opcode::kMax;
    if (equal ? cycles(op) == step : cycles(op) % step == 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "latency of ", Info(op).name, " = ", cycles(op), ": kernels are laid out for ",
        equal ? "that of or, " : "a multiple of or's ", step, " cycles; change them together"));
  }
  return absl::OkStatus();
}

StepEmitter::StepEmitter(const Plan& plan, const StageShape& stage, const PartShape& part,
                         Layout layout, const Group& group, const ChipTiming& timing, int batch,
                         const Placements* known)
    : plan_(plan),
      stage_(stage),
      part_(part),
      batch_(batch),
      words_(plan.hidden_words()),
      cache_(plan.cache()),
      layout_(std::move(layout)),
      map_(AtSequence(layout_.map, plan, part.sequence)),
      at_(layout_.scratch),
      timing_(timing),
      group_(group),
      placer_(timing_, known),
      kernels_{timing_, placer_},
      collectives_(timing_, placer_, group),
      attention_{timing_, placer_, cache_, kAttentionSide, batch},
      int8_cache_{timing_, placer_, cache_, batch, plan.kv_slots},
      streamed_(plan.weights == NumberFormat::kFp16 && words_ >= kLeastStreamed) {}

CompiledChip StepEmitter::Emit() {
  CompiledChip out;
  if (part_.take) Take(*part_.take);
  if (part_.embedding) Embedding();
  if (part_.receive != nullptr) Receive(out);
  if (part_.layers) {
    Masks();
    BeginAttentionNorm(map_.layers.front());
    PassOn();
    Layers(out);
  } else {
    EmitLast(out, [&] {
      if (part_.head) BeginNorm(map_.final_gain, false, ForHead());
      PassOn();
    });
  }
  if (part_.keep) Keep(*part_.keep);
  if (part_.head) out.logits = Head();
  out.layout = layout_;
  out.program = placer_.Finish();
  out.placements = placer_.placements();
  out.spans = placer_.spans();
  out.weight_stream_bytes = StreamedBytes(out.program);
  return out;
}

StepEmitter::Positions StepEmitter::ForHead() const {
  const int count = TravelOf(plan_, batch_, true).positions;
  return {batch_ - count, count};
}
Pace StepEmitter::Pacing() const { return TravelOf(plan_, batch_, part_.to_head).pace; }
StepEmitter::Positions StepEmitter::Arriving() const {
  return part_.to_head && !part_.layers ? ForHead() : Positions{0, batch_};
}
StepEmitter::Positions StepEmitter::Leaving() const {
  return part_.to_head ? ForHead() : Positions{0, batch_};
}

void StepEmitter::Masks() {
  const int tiles = cache_.key_tiles();
  for (int i = 0; i < batch_; ++i) {
    kernels_.MaskBias(map_.iota, map_.position + i, tiles, at_.bias + i * tiles);
  }
  if (cache_.int8()) int8_cache_.Mask(map_.iota, map_.position, at_.int8_cache.masks);
}

void StepEmitter::Embedding() {
  const int rows = plan_.ShardRows(stage_.embedding);
  for (int i = 0; i < batch_; ++i) {
    kernels_.GatherRow(map_.embedding_side, map_.embedding_rows, rows, map_.token_map + i, words_,
                       at_.partial.y[0] + i * words_);
  }
  // One chip's part is the embedding, in fp16, the others' are zero: fp16 loses nothing.
  std::vector<ChipPart> parts;
  for (int i = 0; i < batch_; ++i) {
    for (int w = 0; w < words_; ++w) {
      parts.push_back({at_.partial.y[0] + (i * words_ + w), i, w});
    }
  }
  for (size_t i = SumByOwner(parts, false, [](int) {}); i < parts.size(); ++i) {
    SumAsHalf(parts[i].at, parts[i].position, parts[i].word, false);
  }
}

void StepEmitter::BeginLayerNorm(Quad gain, const OperandMap& to) {
  norm_.reset(), int8_norm_.reset();
  if (!Int8()) return BeginNorm(gain, streamed_, {0, batch_});
  const Int8Norm::Shape shape{words_, plan_.model.hidden_size,
                              static_cast<float>(plan_.model.rms_norm_eps), to.groups,
                              batch_};
  const std::array<Single, 2> q{to.bytes[0], to.bytes[1]};
  const std::array<Quad, 2> scale{to.scale[0], to.scale[1]};
  const std::vector<Quad> rest = batch_ == 1
                                     ? std::vector{at_.norm_rest}
                                     : std::vector{at_.batch_rest[0], at_.batch_rest[1]};
  const Int8Norm::Places places{at_.residual, gain, at_.norm_scratch, q, scale, rest};
  int8_norm_.emplace(timing_, placer_, shape, places);
}

void StepEmitter::BeginNorm(Quad gain, bool streamed, Positions of) {
  const ModelConfig& m = plan_.model;
  const Norm::Shape shape{words_, m.hidden_size, static_cast<float>(m.rms_norm_eps), of.count,
                          streamed};
  const int first = of.first * words_;
  norm_.emplace(timing_, placer_, shape,
                Norm::Places{at_.residual + first, gain, at_.norm_scratch,
                             at_.normed.half[0], at_.normed.half[1], at_.norm_rest,
                             at_.norm_half});
}

// Vectors of the residual as they travel: a word of all positions after the other.
std::vector<int> StepEmitter::InOrder(Positions of) const {
  std::vector<int> order;
  for (int w : InwardOrder(words_)) {
    for (int i = 0; i < of.count; ++i) order.push_back((of.first + i) * words_ + w);
  }
  return order;
}

Pair StepEmitter::InboxRow(int row) const {
  return at_.inbox[row % 2] + row / 2 * batch_ * words_;
}

// An embedding is fp16, so nothing is lost.
void StepEmitter::Keep(int row) {
  kernels_.ToHalf(at_.residual, batch_ * words_, InboxRow(row));
}
void StepEmitter::Take(int row) {
  Chain c(timing_, "from half", batch_ * words_);
  c.Store(c.To32(c.Load16(InboxRow(row))), at_.residual);
  placer_.Place(c.Build());
}

// Hidden vectors into the residual, or, if they are to be added there, beside it.
void StepEmitter::Receive(CompiledChip& out) {
  const Quad target = part_.embedding ? at_.landing : at_.residual;
  const NodeRoute::Moved received = part_.receive->PlaceReceive(placer_, timing_, group_, target,
                                                                InOrder(Arriving()), Pacing());
  out.received_from = received.from, out.moved_until = received.last;
}

// The words that the part begins with, to whoever takes them.
void StepEmitter::PassOn() {
  for (int w : InwardOrder(words_)) {
    for (int i = 0; i < batch_ && part_.embedding && part_.receive != nullptr; ++i) {
      const Quad sum = at_.residual + (i * words_ + w);
      kernels_.Add(sum, at_.landing + (i * words_ + w), 1, sum);
    }
    WordIsMade(w);
  }
}

void StepEmitter::WordIsMade(int word) {
  const Positions leaving = Leaving();
  for (int i = 0; sender_ && i < leaving.count; ++i) {
    sender_->Add((leaving.first + i) * words_ + word);
  }
  if (norm_) norm_->Add(word);
  if (int8_norm_) int8_norm_->Add(word);
}

// Emits what makes the last words of the residual, and sends them if the part does: from a base that
// is moved up until no word leaves behind its time.
void StepEmitter::EmitLast(CompiledChip& out, const std::function<void()>& emit) {
  if (part_.send == nullptr) return emit();
  const Placer before = placer_;
  int64_t base = 0, late = 0;
  for (int attempt = 0; attempt == 0 || late > 0; ++attempt) {
    base += late + (attempt > 4 ? LinkPeriod(timing_) : 0);
    if (attempt > 0) placer_ = before;
    base = placer_.Agree(base);
    sender_.emplace(placer_, timing_, *part_.send, group_.self, at_.residual, InOrder(Leaving()),
                    Pacing(), base);
    emit();
    late = sender_->late();
  }
  const NodeRoute::Moved sent = sender_->moved();
  sender_.reset();
  out.sent_from = sent.from, out.moved_until = sent.last;
}

void StepEmitter::Layers(CompiledChip& out) {
  for (size_t l = 0; l < map_.layers.size(); ++l) {
    const LayerMap& layer = map_.layers[l];
    AttentionPart(layer);
    GateAndUp(layer);
    if (l + 1 < map_.layers.size()) {
      BeginAttentionNorm(map_.layers[l + 1]);
      Down(layer);
      continue;
    }
    EmitLast(out, [&] {
      norm_.reset(), int8_norm_.reset();
      if (part_.head) BeginNorm(map_.final_gain, false, ForHead());
      Down(layer);
    });
  }
}

bool StepEmitter::SumsTravelAsHalf(const SplitMatrix& w) const {
  int product = 0;
  for (const SplitMatrix::Part& part : w.parts) {
    product = std::max(product, part.matrix.weight_rows());
  }
  return words_ * 4 * LinkPeriod(timing_) > product + group_.flight_cycles;
}

void StepEmitter::AddOverChips(Quad from, int position, int word, bool half) {
  if (half) return SumAsHalf(from, position, word, true);
  const Quad to = at_.residual + (position * words_ + word);
  const int landing = LandingRow(plan_, batch_, position, word) * group_.size;
  collectives_.AllReduceDirect(from, at_.landing + landing, 1, to, true, to);
}

void StepEmitter::AddOverChips(const std::vector<ChipPart>& parts, bool half) {
  std::vector<int> positions(words_);  // that have a word
  const auto summed = [&](int i) {
    if (++positions[parts[i].word] == batch_) WordIsMade(parts[i].word);
  };
  const int count = static_cast<int>(parts.size());
  for (int i = half ? SumByOwner(parts, true, summed) : 0; i < count; ++i) {
    AddOverChips(parts[i].at, parts[i].position, parts[i].word, half);
    summed(i);
  }
}

// How many groups, of a word a chip, are summed by owners: none where that saves the links less than
// the hop more that it takes.
int StepEmitter::GroupsByOwner(int words) const {
  const int period = LinkPeriod(timing_), groups = words / group_.size;
  const int direct = 2 * group_.size;  // vectors on a link
  const bool room = LandingRows(plan_) >= std::max(2, group_.size);
  const bool pays = groups * (direct - kVectorsByOwner) * period > group_.flight_cycles;
  return group_.size > 1 && batch_ > 1 && room && pays ? groups : 0;
}

// Sums the first of `parts`, whole groups, by owners, as fp16 on the way there; into the residual, or
// added to it. Calls summed(i) for each, in order, and returns how many. Some groups are on their way to their
// owners while the sums of those before come back. A group takes two rows of the landing ring.
int StepEmitter::SumByOwner(const std::vector<ChipPart>& parts, bool add,
                            const std::function<void(int)>& summed) {
  const int size = group_.size, groups = GroupsByOwner(static_cast<int>(parts.size()));
  if (groups == 0) return 0;
  const int ring = LandingRows(plan_) / 2, halves = LandingRows(plan_) / size;
  const int busy = kVectorsByOwner * LinkPeriod(timing_), ahead = group_.flight_cycles / busy + 1;
  const auto sums = [&](int g) { return at_.landing + (g % ring * 2 + 1) * size; };
  const auto landing = [&](int g) {
    return Pair{at_.landing.side, at_.landing.column, 0,
                at_.landing.address + g % ring * 2 * size};
  };
  for (int step = 0; step < groups + ahead; ++step) {
    if (step < groups) {
      const Pair half = at_.partial16 + step % halves * size;
      for (int m = 0; m < size; ++m) collectives_.Round(parts[step * size + m].at, half + m);
      collectives_.ScatterToOwners(half, landing(step));
    }
    const int back = step - ahead;
    if (back < 0) continue;
    collectives_.GatherFromOwners(landing(back), sums(back));
    for (int m = 0, words = 0; m < size; m += words) {
      const ChipPart& first = parts[back * size + m];
      // Consecutive positions' words of one number lie words_ apart.
      for (words = 1; m + words < size; ++words) {
        const ChipPart& next = parts[back * size + m + words];
        if (next.word != first.word || next.position != first.position + words) break;
      }
      collectives_.AddFromOwners(sums(back), m, words,
                                 at_.residual + (first.position * words_ + first.word), words_, add);
      for (int k = 0; k < words; ++k) summed(back * size + m + k);
    }
  }
  return groups * size;
}

// The sum travels as fp16 and becomes a word of the residual, or is added to it.
void StepEmitter::SumAsHalf(Quad from, int position, int word, bool add) {
  const Quad to = at_.residual + (position * words_ + word);
  const int row = LandingRow(plan_, batch_, position, word);
  const Pair landing{at_.landing.side, at_.landing.column, 0, at_.landing.address};
  collectives_.AllReduceDirect16(from, at_.partial16 + row, landing + row * group_.size, 1, to, add,
                                 to);
}

void StepEmitter::Attend(const LayerMap& layer) {
  if (cache_.int8()) return AttendInt8(layer);
  const int slots = cache_.key_slots(), groups = cache_.value_groups();
  const int queries = plan_.queries_per_slot, outputs = plan_.outputs();
  for (int kv = 0; kv < plan_.kv_slots; ++kv) {
    attention_.AppendKey(at_.k + kv * slots, plan_.kv_slots * slots, map_.key_maps, layer.keys[kv]);
    const bool largest = attention_.Scores(at_.q, plan_.query_vectors(), kv * queries * slots,
                                           queries, layer.keys[kv], at_.scores,
                                           Attention::MaskedLargest{at_.bias, at_.maxima});
    attention_.Softmax(at_.scores, at_.bias, at_.maxima, queries, at_.p, largest);
    attention_.AppendValue(at_.v + kv * groups, plan_.kv_slots * groups, ValueTables(),
                           layer.values[kv]);
    attention_.Weigh(at_.p, queries, layer.values[kv], at_.weighed + kv * queries * groups,
                     outputs);
  }
  attention_.Normalise(at_.weighed, map_.low_half, batch_ * outputs, at_.heads_out.half[0],
                       at_.heads_out.half[1]);
}

void StepEmitter::AttendInt8(const LayerMap& layer) {
  const Int8CacheMap& at = at_.int8_cache;
  const int slots = cache_.key_slots(), groups = cache_.value_groups();
  const int queries = plan_.queries_per_slot, outputs = plan_.outputs();
  int8_cache_.QuantiseKeys(at_.k, at.keys, at.key_bytes);
  int8_cache_.QuantiseValues(at_.v, at.values, at.value_integers);
  const Pair keys{at.key_bytes.side, at.key_bytes.column, at.key_bytes.plane, at.key_bytes.address};
  for (int kv = 0; kv < plan_.kv_slots; ++kv) {
    const CacheScales& scales = layer.scales[kv];
    attention_.AppendKey(keys + kv * slots, plan_.kv_slots * slots, map_.key_maps, layer.keys[kv]);
    attention_.Scores(at_.q, plan_.query_vectors(), kv * queries * slots, queries, layer.keys[kv],
                      at_.scores);
    int8_cache_.KeepScales(at.keys, kv, at.masks, scales.keys);
    int8_cache_.KeepScales(at.values, kv, at.masks, scales.values);
    attention_.ScaledSoftmax(at_.scores, at_.bias, scales, at_.maxima, queries, at_.p, at.sums);
    attention_.AppendValue(at.value_integers + kv * groups, plan_.kv_slots * groups, ValueTables(),
                           layer.values[kv]);
    const int out = kv * queries * groups;
    attention_.Weigh(at_.p, queries, layer.values[kv], at_.weighed + out, outputs, at.upper + out);
    attention_.NormaliseHalves(at_.weighed + out, at.upper + out, at.sums, map_.low_half, queries,
                               outputs, at_.heads_out.half[0] + out, at_.heads_out.half[1] + out);
  }
}

Attention::ValueTables StepEmitter::ValueTables() const {
  return {map_.identity,       map_.one_hot,        map_.transpose_row,
          map_.transpose_maps, map_.value_map_read, map_.value_map_write};
}

}  // namespace lockstep
