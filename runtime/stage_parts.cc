// Tries numbers of stages, then of stages that hold the vocabulary (runtime/stage_parts.h).
#include "runtime/stage_parts.h"

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/geometry.h"

namespace lockstep {
namespace {

class Partitioner {
 public:
  Partitioner(const Plan& plan, const StageFormats& formats) : plan_(plan), formats_(formats) {}

  // The most layers that one stage has room for.
  int MostLayers() {
    int layers = 0;
    while (layers < plan_.model.layers && SizeOf({layers + 1, 0, 0}).fits.ok()) ++layers;
    return layers;
  }

  std::optional<std::vector<StagePartition>> Cut(int stages) {
    for (int holders = 1; holders <= stages; ++holders) {
      if (auto parts = Cut(stages, holders)) return parts;
    }
    return std::nullopt;
  }

  const StageSize& SizeOf(const StageParts& parts) {
    const auto [at, is_new] = sizes_.try_emplace(parts);
    if (is_new) at->second = SizeOfStage(plan_, formats_, parts);
    return at->second;
  }

 private:
  // Equal parts of the vocabulary.
  Range Rows(int holders, int index) const {
    const int64_t rows = plan_.model.vocab_size;
    return {static_cast<int>(rows * index / holders), static_cast<int>(rows * (index + 1) / holders)};
  }

  std::optional<std::vector<StagePartition>> Cut(int stages, int holders) {
    std::vector<StagePartition> out(stages);
    std::vector<StageParts> parts(stages);
    for (int i = 0; i < holders; ++i) {
      out[i].embedding = Rows(holders, i);
      parts[i].embedding_rows = out[i].embedding.size();
      const int last = stages - holders + i;
      out[last].head = Rows(holders, i);
      parts[last].head_rows = out[last].head.size();
    }
    for (StageParts& part : parts) {
      part.layers = 1;
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

  // Whether a layer more is better put on `a`: who has room first, then who moves less, then who has
  // more room left.
  bool Better(const StageParts& a, const StageParts& b) {
    const StageSize& x = SizeOf({a.layers + 1, a.embedding_rows, a.head_rows});
    const StageSize& y = SizeOf({b.layers + 1, b.embedding_rows, b.head_rows});
    if (x.fits.ok() != y.fits.ok()) return x.fits.ok();
    if (x.step_bytes != y.step_bytes) return x.step_bytes < y.step_bytes;
    return x.sram_bytes < y.sram_bytes;
  }

  const Plan& plan_;
  const StageFormats& formats_;
  std::map<StageParts, StageSize> sizes_;
};

}  // namespace

absl::StatusOr<std::vector<StagePartition>> PartitionModel(const Plan& plan,
                                                           const StageFormats& formats, int least,
                                                           int most) {
  Partitioner partitioner(plan, formats);
  const int most_layers = partitioner.MostLayers();
  const int layers = plan.model.layers;
  if (most_layers == 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("one layer on the ", plan.chips, " chips of a node: ",
                     std::string(partitioner.SizeOf({1, 0, 0}).fits.message())));
  }
  for (int stages = std::max(least, CeilDiv(layers, most_layers)); stages <= most; ++stages) {
    if (auto parts = partitioner.Cut(stages)) return *std::move(parts);
  }
  const int vocabulary = plan.model.vocab_size;
  const int64_t all = partitioner.SizeOf({layers, vocabulary, vocabulary}).sram_bytes * plan.chips;
  const int64_t room = kSramBytes * plan.chips * most;
  return absl::ResourceExhaustedError(absl::StrCat(
      "the model takes ", all, " B on ", plan.chips, " chips a stage; ", most,
      most == 1 ? " stage has " : " stages have ", room, " B",
      all > room ? absl::StrCat(", ", all - room, " B too few") : "", ". A stage holds at most ",
      most_layers, most_layers == 1 ? " layer" : " layers", ", so ", layers, " layers need ",
      CeilDiv(layers, most_layers), " stages or more, with the vocabulary in the room that is left"));
}

}  // namespace lockstep
