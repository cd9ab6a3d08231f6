#pragma once
// A pipeline of stages, a node each, as programs with fixed starts. One step of a token:
//
//   embedding   stage E-1 --> ... --> stage 1 --> stage 0
//   layers                                stage 0 --> stage 1 --> ... --> stage S-1
//   head                      stage S-H <-- ... <-- stage S-2 <-- stage S-1
//
// An arrow is a transfer of the hidden vector (runtime/kernels/transfer.h); third chips on its way
// have a part of their own. Rows of the vocabulary
// that stages 0 and S-1 hold are part of their layers' programs; other parts are programs of their
// own. All starts follow from the programs: each part starts so that it receives what the part
// before it sends.
//
// With several sequences in flight the row of parts is there once for each, a period apart, on step
// inputs and KV rows of its own; the period is the least in which no two parts of a node meet.
//
// Positions of a prompt in flight, or batches of them, have the same row of parts on the same
// programs, inputs and rows of the cache: a part of the next one finds what the one before left.
// Only the last one has a head, unless the plan has logits of all. Where several stages hold rows
// of the embedding they go in groups, whose embeddings wait in the first stage's inbox:
//
//   embedding  p0 p1 p2 p3                     p4 p5 p6 p7
//   layers                 p0   p1   p2   p3                p4 ..
//
// Of several sequences one's positions in flight follow the other's.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "chip/timing_check.h"
#include "fabric/launch.h"
#include "runtime/compiler/pipeline_programs.h"
#include "runtime/compiler/pipeline_stages.h"

namespace lockstep {

// A step of a pipeline. Immutable but for programs compiled on the way; one thread.
class CompiledPipeline {
 public:
  using Step = PipelinePrograms::Step;
  // Over what large transfers go: the cables, or `spread` of the pipeline where that gains.
  enum class Ways : uint8_t { kCables, kSpread };

  // Compiles member 0 of every stage, which decides all starts; with `threads` > 0 first all
  // members, on so many threads, and checks what they do on their chips. Errors: CompileChip's and
  // CompilePrefill's; parts of one node that would meet.
  static absl::StatusOr<std::shared_ptr<CompiledPipeline>> Create(Pipeline pipeline,
                                                                  const ChipTiming& timing,
                                                                  Step step = Step::kToken,
                                                                  int threads = 0,
                                                                  Ways ways = Ways::kCables);

  // The step in which plan.flight positions of each sequence follow each other, as `one` takes
  // them: singly or in batches. one: of the same pipeline; its programs are taken over. REQUIRES:
  // several stages, a flight of several steps of `one`.
  static absl::StatusOr<std::shared_ptr<CompiledPipeline>> CreateFlight(
      const CompiledPipeline& one);

  // What decides when the parts run, for processes that need not compile them all: v1.StepOutline.
  std::string Outline() const;
  // The step that gave `outline`, of the same pipeline, its programs not yet compiled. token: null,
  // or another step of it, whose programs serve here where they are of the same kind. Errors:
  // kDataLoss, for what Outline never gives.
  static absl::StatusOr<std::shared_ptr<CompiledPipeline>> FromOutline(
      const Pipeline& pipeline, const ChipTiming& timing, absl::string_view outline,
      const CompiledPipeline* token = nullptr);

  const Pipeline& pipeline() const { return programs_->pipeline(); }
  const ChipTiming& timing() const { return programs_->timing(); }
  PipelinePrograms& programs() const { return *programs_; }
  int batch() const { return programs_->batch(); }  // positions of a part
  // Positions of a part with a head, and of a sequence in the step, whose logits the host wants.
  int logits_of_part() const { return pipeline().plan.all_logits ? batch() : 1; }
  int logits_of_step() const { return logits_of_part() * (pipeline().plan.all_logits ? rows_ : 1); }
  absl::Span<const PipelinePart> parts() const { return parts_; }  // in order of the step
  int64_t cycles() const;  // of a step of all sequences, until the last part's end
  int64_t latency() const { return latency_; }  // of one sequence's step
  // From the step of one sequence, position or batch to the next one's; 0: there is one.
  int64_t period() const { return period_; }
  // Positions of a flight's groups, and from one group to the next; 0: there are none.
  int group() const { return group_; }
  int64_t group_period() const { return group_period_; }

  using Seat = PipelinePrograms::Seat;
  std::optional<Seat> SeatOf(uint32_t chip) const { return programs_->SeatOf(chip); }
  // By start, what it passes on among them.
  std::vector<const PipelinePart*> PartsAt(uint32_t chip) const;
  struct ChipPart {
    const PipelinePart* part;
    std::shared_ptr<const Role> role;
  };
  // Those of PartsAt; roles are compiled when first asked for. Errors: CompileChip's.
  absl::StatusOr<std::vector<ChipPart>> PartsOf(uint32_t chip);
  // Of the first chip of the part.
  const Role& FirstRoleOf(const PipelinePart& part) const { return programs_->FirstRoleOf(part); }
  size_t roles() const { return programs_->roles(); }
  void TellChecks(CheckCache& checks) const { programs_->TellChecks(checks); }

 private:
  CompiledPipeline(std::shared_ptr<PipelinePrograms> programs, Ways ways)
      : programs_(std::move(programs)), ways_(ways) {}
  struct RowGroup;
  void ListParts();
  void AddPart(int stage, const PartShape& shape);
  const NodeRoute& Forward(int stage) const;
  absl::Status SetStarts(std::vector<PipelinePart>& row);
  void Repeat();
  absl::StatusOr<std::vector<PipelinePart>> NotTheLast(const std::vector<PipelinePart>& row);
  absl::Status FollowOn(int rows);
  absl::Status FollowInGroups(int rows);

  const std::shared_ptr<PipelinePrograms> programs_;  // steps of one kind may share them
  const Ways ways_;
  std::vector<PipelinePart> parts_;
  int64_t latency_ = 0, period_ = 0, group_period_ = 0;
  int rows_ = 1;  // of parts, of each sequence
  int group_ = 0;
};

// The step that takes plan.prompt_positions() > 1 positions of a prompt: a batch, or several that
// follow each other, or single positions that do. token: of one position. threads: as Create's.
absl::StatusOr<std::shared_ptr<CompiledPipeline>> CompilePrompt(
    const std::shared_ptr<CompiledPipeline>& token, int threads = 0);

Launches LaunchesOf(absl::Span<const CompiledPipeline::ChipPart> parts);

}  // namespace lockstep
