// Tries numbers of stages, then of stages that hold the vocabulary
// (runtime/compiler/stage_parts.h).
#include "runtime/compiler/stage_parts.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/geometry.h"
#include "runtime/compiler/prompt_room.h"

namespace lockstep {
namespace {

class Partitioner {
 public:
  explicit Partitioner(const Plan& plan) : plan_(plan) {}

  // The most layers that one stage has room for.
  int MostLayers() {
    int layers = 0;
    while (layers < plan_.model.layers && SizeOf({layers + 1, 0, 0}).fits.ok()) ++layers;
    return layers;
  }

  std::optional<std::vector<StageShape>> Cut(int stages) {
    if (auto apart = CutApart(stages)) return apart;
    const int holders = Fewest(stages, [&](int n) { return Cut(stages, n, n).has_value(); });
    if (holders == 0) return std::nullopt;
    return Cut(stages, holders,
               Fewest(holders, [&](int n) { return Cut(stages, holders, n).has_value(); }));
  }

  const StageSize& SizeOf(const StageParts& parts) {
    const auto [at, is_new] = sizes_.try_emplace(parts);
    if (is_new) at->second = SizeOfStage(plan_, parts);
    return at->second;
  }

 private:
  // No stage holds rows of both embedding and head.
  std::optional<std::vector<StageShape>> CutApart(int stages) {
    const std::vector<int> embedding = Holders(stages, false), head = Holders(stages, true);
    std::vector<std::pair<int, int>> pairs;
    for (int e : embedding) {
      for (int h : head) {
        if (e + h <= stages) pairs.push_back({e, h});
      }
    }
    std::sort(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) {
      return std::pair(a.first + a.second, a) < std::pair(b.first + b.second, b);
    });
    for (const auto& [e, h] : pairs) {
      if (auto parts = Cut(stages, e, h)) return parts;
    }
    return std::nullopt;
  }

  // How many stages hold all rows of embedding or head, by how many layers lie beside them: those
  // of an equal share or fewer.
  std::vector<int> Holders(int stages, bool head) {
    std::vector<int> out;
    for (int layers = CeilDiv(plan_.model.layers, stages), step = 1; layers >= 1;) {
      const int rows = MostRows(layers, head);
      if (rows > 0) out.push_back(CeilDiv(plan_.model.vocab_size, rows));
      layers = layers > 1 ? std::max(1, layers - step) : 0;
      if (out.size() > 2) step *= 2;
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

  // Rows of a node that have room beside `layers` layers.
  int MostRows(int layers, bool head) {
    const auto [at, is_new] = rows_.try_emplace({layers, head});
    if (!is_new) return at->second;
    int some = 0, none = CeilDiv(plan_.model.vocab_size, plan_.chips) + 1;  // of a chip
    while (some + 1 < none) {
      const int middle = (some + none) / 2, rows = middle * plan_.chips;
      (SizeOf({layers, head ? 0 : rows, head ? rows : 0}).fits.ok() ? some : none) = middle;
    }
    return at->second = some * plan_.chips;
  }

  // The least n of 1 .. most with room, given that more have more; 0: not even `most`.
  template <typename HasRoom>
  static int Fewest(int most, const HasRoom& has_room) {
    if (!has_room(most)) return 0;
    int none = 0;
    while (most - none > 1) {
      const int middle = none + (most - none) / 2;
      (has_room(middle) ? most : none) = middle;
    }
    return most;
  }

  // Equal parts of the vocabulary; none for no holders.
  Range Rows(int holders, int index) const {
    const int64_t rows = plan_.model.vocab_size;
    return {static_cast<int>(rows * index / holders),
            static_cast<int>(rows * (index + 1) / holders)};
  }

  // Embedding rows on the first stages, head rows on the last ones.
  std::optional<std::vector<StageShape>> Cut(int stages, int embedding_holders, int head_holders) {
    std::vector<StageShape> out(stages);
    for (int i = 0; i < embedding_holders; ++i) out[i].embedding = Rows(embedding_holders, i);
    for (int i = 0; i < head_holders; ++i) {
      out[stages - head_holders + i].head = Rows(head_holders, i);
    }
    std::vector<StageParts> parts;
    for (const StageShape& s : out) parts.push_back({1, s.embedding.size(), s.head.size()});
    for (const StageParts& part : parts) {
      if (!SizeOf(part).fits.ok()) return std::nullopt;
    }
    for (int left = plan_.model.layers - stages; left > 0; --left) {
      StageParts* best = nullptr;
      for (StageParts& part : parts) {
        if (best == nullptr || Better(part, *best)) best = &part;
      }
      ++best->layers;
      if (!SizeOf(*best).fits.ok()) return std::nullopt;
    }
    int layer = 0;
    for (int i = 0; i < stages; ++i) {
      out[i].layers = {layer, layer + parts[i].layers};
      layer = out[i].layers.end;
    }
    return out;
  }

  // Whether a layer more is better put on `a`: who has room first, then who moves less, then who
  // has more room left.
  bool Better(const StageParts& a, const StageParts& b) {
    const StageSize& x = SizeOf({a.layers + 1, a.embedding_rows, a.head_rows});
    const StageSize& y = SizeOf({b.layers + 1, b.embedding_rows, b.head_rows});
    if (x.fits.ok() != y.fits.ok()) return x.fits.ok();
    if (x.step_bytes() != y.step_bytes()) return x.step_bytes() < y.step_bytes();
    return x.use.total() < y.use.total();
  }

  const Plan& plan_;
  std::map<StageParts, StageSize> sizes_;
  std::map<std::pair<int, bool>, int> rows_;  // MostRows
};

// As many stages with room for batches of two, if these have none and it is worth it.
std::vector<StageShape> WithPairs(const Plan& plan, std::vector<StageShape> stages) {
  if (stages.size() == 1 || plan.sequences > 1 || LargestBatch(plan, stages) > 1) return stages;
  Plan pairs = plan;
  pairs.batch = 2;
  auto other = Partitioner(pairs).Cut(static_cast<int>(stages.size()));
  if (!other) return stages;
  MakeRoomForInbox(pairs, &*other);
  return IsWorthTheRoom(plan, stages, *other) ? *std::move(other) : stages;
}

// Whose room it is, where more is asked for than a token takes.
std::string Asked(const Plan& plan) {
  return plan.batch > 1 ? absl::StrCat("--prefill-batch ", plan.batch, ": ") : "";
}

absl::Status NoRoomForALayer(const Plan& plan, const StageSize& size) {
  const int64_t over = size.use.total() - kSramBytes;
  return absl::ResourceExhaustedError(
      absl::StrCat(Asked(plan), "one layer over ", plan.chips, plan.chips == 1 ? " chip" : " chips",
                   " takes ", size.use.total(), " B of a chip, which has ", kSramBytes,
                   over > 0 ? absl::StrCat(", ", over, " B too many") : "", ": ",
                   std::string(size.fits.message())));
}

// The arithmetic of a model on too few stages.
absl::Status NoRoomForTheModel(const Plan& plan, const SramUse& whole, const SramUse& one,
                               int most_layers, int stages) {
  const int64_t all = whole.total() * plan.chips, room = kSramBytes * plan.chips * stages;
  const int layers = plan.model.layers, enough = CeilDiv(layers, most_layers);
  std::string why = absl::StrCat(Asked(plan), "the model takes at least ", all, " B; ", stages,
                                 stages == 1 ? " stage" : " stages", " of ", plan.chips,
                                 " chips have ", room, " B");
  if (all > room) absl::StrAppend(&why, ", ", all - room, " B too few");
  absl::StrAppend(&why, ". A layer takes ", one.layers + one.kv_cache, " B of a chip's ",
                  kSramBytes, ", so a stage holds at most ", most_layers, ", and ", layers,
                  " layers need ");
  absl::StrAppend(&why, enough, " stages",
                  enough > stages ? absl::StrCat(", ", enough - stages, " more than there are")
                                  : " with room left for the vocabulary, which they do not have");
  return absl::ResourceExhaustedError(why);
}

}  // namespace

absl::StatusOr<std::vector<StageShape>> PartitionModel(const Plan& plan, int least, int most) {
  Partitioner partitioner(plan);
  const int most_layers = partitioner.MostLayers();
  if (most_layers == 0) return NoRoomForALayer(plan, partitioner.SizeOf({1, 0, 0}));
  const int enough = CeilDiv(plan.model.layers, most_layers);
  for (int stages = std::max(least, enough); stages <= most; ++stages) {
    auto parts = partitioner.Cut(stages);
    if (!parts) continue;
    MakeRoomForInbox(plan, &*parts);
    return plan.batch > 1 ? *std::move(parts) : WithPairs(plan, *std::move(parts));
  }
  const int vocabulary = plan.model.vocab_size;
  const SramUse whole = partitioner.SizeOf({plan.model.layers, vocabulary, vocabulary}).use;
  return NoRoomForTheModel(plan, whole, partitioner.SizeOf({1, 0, 0}).use, most_layers, most);
}

}  // namespace lockstep
