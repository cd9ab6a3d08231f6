// Rows of parts that follow each other: sequences, and positions of a prompt in flight
// (runtime/compiler/pipeline.h).
#include <algorithm>
#include <limits>
#include <utility>

#include "chip/check.h"
#include "runtime/compiler/pipeline.h"
#include "runtime/machine/verify.h"

namespace lockstep {
namespace {

using Parts = std::vector<PipelinePart>;

// For any number of rows, so that the time of many follows from that of a few.
constexpr int kAny = std::numeric_limits<int>::max();

bool ShareAChip(const PipelinePart& a, const PipelinePart& b) {
  if (a.shape.relay == nullptr && b.shape.relay == nullptr) return a.stage == b.stage;
  return std::find_first_of(a.chips.begin(), a.chips.end(), b.chips.begin(), b.chips.end()) !=
         a.chips.end();
}

// The least period in which no part of `first` meets one of the same chips of `later`, 1 .. most
// periods behind: whatever still meets, k periods apart, moves it up.
int64_t LeastPeriod(const Parts& first, const Parts& later, int most, int64_t drain,
                    int64_t period) {
  const auto next = [&] {
    for (const PipelinePart& a : first) {
      for (const PipelinePart& b : later) {
        if (!ShareAChip(a, b)) continue;
        for (int k = 1; k <= most; ++k) {
          const int64_t start = b.start + k * period, end = b.end + drain + k * period;
          if (start >= a.end + drain) break;  // and so are all that follow
          if (end <= a.start) continue;
          return (a.end + drain - b.start + k - 1) / k;
        }
      }
    }
    return period;
  };
  for (int64_t at = next(); at != period; at = next()) period = at;
  return period;
}

// Of rows like `one` of which the last is `last`; as many times as there are sequences.
int64_t PeriodOfRows(const Parts& one, const Parts& last, int sequences, int64_t drain) {
  int64_t period = 1;
  for (int64_t before = 0; period != before;) {
    before = period;
    period = LeastPeriod(one, one, kAny, drain, period);
    period = LeastPeriod(one, last, kAny, drain, period);
    if (sequences == 1) continue;
    period = LeastPeriod(last, one, kAny, drain, period);
    period = LeastPeriod(last, last, kAny, drain, period);
  }
  return period;
}

int64_t EndOf(const Parts& parts) {
  int64_t end = 0;
  for (const PipelinePart& part : parts) end = std::max(end, part.end);
  return end;
}

PipelinePart At(PipelinePart part, int64_t cycles) {
  part.start += cycles, part.end += cycles;
  return part;
}

}  // namespace

// Positions whose embeddings are gathered before their layers begin.
struct CompiledPipeline::RowGroup {
  Parts gather;           // a row's embedding, into the inbox
  Parts layers, last;     // a row's layers, from the inbox, and of the last row of all
  int64_t gather_period;  // from row to row
  int64_t layers_period;
  int64_t Begin(int rows, int64_t drain) const {  // of the layers of the first row
    return EndOf(gather) + (rows - 1) * gather_period + drain;
  }
  // What `rows` rows take of each node at most, as one part each for embeddings and for layers.
  Parts Outline(int rows, bool ends, int64_t drain) const {
    Parts out;
    const int64_t begin = Begin(rows, drain);
    for (PipelinePart part : gather) {
      part.end += (rows - 1) * gather_period;
      // Rows of the inbox are taken until the last of them has been used.
      if (part.shape.keep) part.end = begin;
      out.push_back(part);
    }
    for (size_t i = 0; i < layers.size(); ++i) {
      PipelinePart part = At(layers[i], begin);
      part.end = begin + (rows - 1) * layers_period + (ends ? last : layers)[i].end;
      out.push_back(part);
    }
    for (size_t i = layers.size(); ends && i < last.size(); ++i) {
      out.push_back(At(last[i], begin + (rows - 1) * layers_period));
    }
    return out;
  }
};

void CompiledPipeline::Repeat() {
  const int sequences = pipeline().plan.sequences;
  const Parts one = parts_;
  period_ = LeastPeriod(one, one, sequences - 1, DrainCycles(timing()), 1);
  for (int s = 1; s < sequences; ++s) {
    for (PipelinePart part : one) {
      part.shape.sequence = s;
      parts_.push_back(At(part, s * period_));
    }
  }
}

absl::StatusOr<std::shared_ptr<CompiledPipeline>> CompiledPipeline::CreateFlight(
    const CompiledPipeline& one) {
  std::shared_ptr<CompiledPipeline> out(new CompiledPipeline(one.programs_, Ways::kCables));
  const Plan& plan = out->pipeline().plan;
  const int rows = plan.flight / out->batch();
  LOCKSTEP_CHECK(rows > 1 && plan.flight % out->batch() == 0 && out->pipeline().stages.size() > 1,
                 "%d positions in flight", plan.flight);
  out->rows_ = rows;
  out->ListParts();
  RETURN_IF_ERROR(out->SetStarts(out->parts_));
  out->latency_ = out->cycles();
  RETURN_IF_ERROR(plan.inbox > 1 ? out->FollowInGroups(rows) : out->FollowOn(rows));
  return out;
}

// The last row without what makes logits, if they are wanted of the last alone.
absl::StatusOr<std::vector<PipelinePart>> CompiledPipeline::NotTheLast(const Parts& row) {
  if (pipeline().plan.all_logits) return row;
  Parts out;
  for (PipelinePart part : row) {
    if (part.shape.to_head && !part.shape.layers) break;
    if (part.shape.to_head) {
      part.shape.head = part.shape.to_head = false, part.shape.send = nullptr;
      ASSIGN_OR_RETURN(const std::shared_ptr<const Role> role, programs_->RoleOf(part, 0));
      part.end = part.start + std::max(role->schedule->end, role->compiled.moved_until + 1);
      part.weight_stream_bytes = role->compiled.weight_stream_bytes;
    }
    out.push_back(part);
  }
  return out;
}

// rows: of each sequence; one sequence's after the other's.
absl::Status CompiledPipeline::FollowOn(int rows) {
  const int sequences = pipeline().plan.sequences;
  const Parts last = std::move(parts_);
  ASSIGN_OR_RETURN(const Parts one, NotTheLast(last));
  period_ = PeriodOfRows(one, last, sequences, DrainCycles(timing()));
  parts_.clear();
  for (int i = 0; i < rows * sequences; ++i) {
    const int s = i / rows, r = i % rows;
    for (PipelinePart part : r + 1 < rows ? one : last) {
      part.shape.sequence = s;
      part.position = r * batch();
      parts_.push_back(At(part, i * period_));
    }
  }
  return absl::OkStatus();
}

// A stage that holds rows of the embedding is met twice by each row of parts, and the further apart
// the two, the longer no other row may come between: about as long as the row's way through all
// these stages. So the embeddings of a group of rows are gathered one closely behind the other,
// kept at the first stage, and then their layers follow each other: that way is gone once for the
// group.
absl::Status CompiledPipeline::FollowInGroups(int rows) {
  const int64_t drain = DrainCycles(timing());
  RowGroup group;
  for (const PipelinePart& part : parts_) {
    const bool first = part.shape.layers && part.stage == 0;
    const bool gathers = group.last.empty() && !part.shape.layers;
    if (!first) {
      (gathers ? group.gather : group.last).push_back(part);
      continue;
    }
    PipelinePart embed = part, keep = part, take = part, layers = part;
    embed.shape = {part.shape.embedding, part.shape.receive, false, nullptr, false};
    keep.shape = take.shape = {false, nullptr, false, nullptr, false};
    keep.shape.keep = take.shape.take = 0;
    layers.shape.embedding = false, layers.shape.receive = nullptr;
    group.gather.insert(group.gather.end(), {embed, keep});
    group.last.insert(group.last.end(), {take, layers});
  }
  RETURN_IF_ERROR(SetStarts(group.gather));
  RETURN_IF_ERROR(SetStarts(group.last));
  ASSIGN_OR_RETURN(group.layers, NotTheLast(group.last));
  group.gather_period = LeastPeriod(group.gather, group.gather, kAny, drain, 1);
  group.layers_period = period_ = PeriodOfRows(group.layers, group.last, 1, drain);

  const int sequences = pipeline().plan.sequences;
  const int most = std::min(pipeline().plan.inbox, rows), groups = CeilDiv(rows, most);
  const int rest = rows - (groups - 1) * most;  // rows of the last group
  group_ = most * batch();
  group_period_ = PeriodOfRows(group.Outline(most, false, drain), group.Outline(rest, true, drain),
                               sequences, drain);
  parts_.clear();
  for (int i = 0; i < rows * sequences; ++i) {
    const int s = i / rows, r = i % rows, row = r % most, g = s * groups + r / most;
    const int64_t begin = group.Begin(r / most + 1 < groups ? most : rest, drain);
    const auto add = [&](PipelinePart part, int64_t start) {
      part.shape.sequence = s;
      part.position = r * batch();
      if (part.shape.keep) part.shape.keep = row;
      if (part.shape.take) part.shape.take = row;
      parts_.push_back(At(part, g * group_period_ + start));
    };
    for (const PipelinePart& part : group.gather) add(part, row * group.gather_period);
    for (const PipelinePart& part : r + 1 < rows ? group.layers : group.last) {
      add(part, begin + row * group.layers_period);
    }
  }
  return absl::OkStatus();
}

}  // namespace lockstep
