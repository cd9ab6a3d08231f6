// A step without its programs, as bytes and back (runtime/compiler/pipeline.h).
#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "lockstep/v1/step_outline.pb.h"
#include "runtime/compiler/pipeline.h"

namespace lockstep {
namespace {

// The routes that parts refer to, by number; 0 is none.
class RouteNumbers {
 public:
  explicit RouteNumbers(const Pipeline& pipeline) {
    for (const auto* some : {&pipeline.forward, &pipeline.backward, &pipeline.spread}) {
      for (const NodeRoute& route : *some) routes_.push_back(&route);
    }
  }
  int Of(const NodeRoute* route) const {
    const auto at = std::find(routes_.begin(), routes_.end(), route);
    LOCKSTEP_CHECK(at != routes_.end(), "a route of another pipeline");
    return static_cast<int>(at - routes_.begin());
  }
  bool Has(int number) const { return number >= 0 && static_cast<size_t>(number) < routes_.size(); }
  const NodeRoute* operator[](int number) const { return routes_[number]; }

 private:
  std::vector<const NodeRoute*> routes_ = {nullptr};
};

using SramFields = std::array<int64_t SramUse::*, 6>;
constexpr SramFields kSramFields = {&SramUse::layers,   &SramUse::embedding, &SramUse::head,
                                    &SramUse::kv_cache, &SramUse::tables,    &SramUse::activations};

v1::StepPart Written(const PipelinePart& part, const RouteNumbers& routes) {
  const PartShape& shape = part.shape;
  v1::StepPart out;
  out.set_stage(part.stage);
  out.set_embedding(shape.embedding);
  out.set_layers(shape.layers);
  out.set_head(shape.head);
  out.set_to_head(shape.to_head);
  out.set_receive(routes.Of(shape.receive));
  out.set_send(routes.Of(shape.send));
  out.set_relay(routes.Of(shape.relay));
  out.set_sequence(shape.sequence);
  if (shape.keep) out.set_keep(*shape.keep);
  if (shape.take) out.set_take(*shape.take);
  out.set_start(part.start);
  out.set_end(part.end);
  out.set_position(part.position);
  out.set_weight_stream_bytes(part.weight_stream_bytes);
  for (auto field : kSramFields) out.add_sram(part.sram.*field);
  return out;
}

absl::StatusOr<PipelinePart> Read(const v1::StepPart& in, const Pipeline& pipeline,
                                  const RouteNumbers& routes) {
  const bool known = in.stage() >= 0 && in.stage() < static_cast<int>(pipeline.stages.size()) &&
                     in.sequence() >= 0 && in.sequence() < pipeline.plan.sequences &&
                     routes.Has(in.receive()) && routes.Has(in.send()) && routes.Has(in.relay()) &&
                     in.sram().size() == static_cast<int>(kSramFields.size());
  if (!known) {
    return absl::DataLossError(absl::StrCat(
        "a part of stage ", in.stage(), ", sequence ", in.sequence(), ", routes ", in.receive(),
        ", ", in.send(), ", ", in.relay(), ": the pipeline has no such part"));
  }
  PipelinePart out{in.stage(), {}};
  PartShape& shape = out.shape;
  shape.embedding = in.embedding(), shape.layers = in.layers(), shape.head = in.head();
  shape.to_head = in.to_head(), shape.sequence = in.sequence();
  shape.receive = routes[in.receive()], shape.send = routes[in.send()];
  shape.relay = routes[in.relay()];
  if (in.has_keep()) shape.keep = in.keep();
  if (in.has_take()) shape.take = in.take();
  out.chips = shape.relay != nullptr ? absl::Span<const uint32_t>(shape.relay->relay_chips())
                                     : pipeline.stages[in.stage()].chips;
  out.start = in.start(), out.end = in.end(), out.position = in.position();
  out.weight_stream_bytes = in.weight_stream_bytes();
  for (size_t i = 0; i < kSramFields.size(); ++i) out.sram.*kSramFields[i] = in.sram(i);
  return out;
}

}  // namespace

std::string CompiledPipeline::Outline() const {
  const RouteNumbers routes(pipeline());
  v1::StepOutline out;
  out.set_batch(programs_->step() == Step::kBatch);
  out.set_latency(latency_);
  out.set_period(period_);
  out.set_group_period(group_period_);
  out.set_group(group_);
  out.set_rows(rows_);
  for (const PipelinePart& part : parts_) *out.add_parts() = Written(part, routes);
  return out.SerializeAsString();
}

absl::StatusOr<std::shared_ptr<CompiledPipeline>> CompiledPipeline::FromOutline(
    const Pipeline& pipeline, const ChipTiming& timing, absl::string_view outline,
    const CompiledPipeline* token) {
  v1::StepOutline in;
  if (!in.ParseFromArray(outline.data(), static_cast<int>(outline.size()))) {
    return absl::DataLossError("the outline of a step cannot be read");
  }
  const Step step = in.batch() ? Step::kBatch : Step::kToken;
  const bool shared = token != nullptr && token->programs_->step() == step;
  std::shared_ptr<CompiledPipeline> out(new CompiledPipeline(
      shared ? token->programs_ : std::make_shared<PipelinePrograms>(pipeline, timing, step),
      Ways::kCables));
  const RouteNumbers routes(out->pipeline());
  for (const v1::StepPart& part : in.parts()) {
    ASSIGN_OR_RETURN(PipelinePart read, Read(part, out->pipeline(), routes));
    out->parts_.push_back(std::move(read));
  }
  out->latency_ = in.latency(), out->period_ = in.period();
  out->group_period_ = in.group_period(), out->group_ = in.group();
  out->rows_ = in.rows();
  return out;
}

}  // namespace lockstep
