#pragma once
// The programs of a pipeline's parts (runtime/compiler/pipeline.h). Chips in one role share one:
// the same part on the same shapes, by the same member of a node, with the same cables in use.
//
// Members of a node place the same blocks in the same cycles, so that only the first of them that
// is compiled looks for the cycles; the others follow its placements. A process that has only some
// of the chips can be told the placements by another one:
//
//   Wanted(chips) --> AnswerTo(wanted) in a process that has compiled one member --> Learn(answer)

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "chip/timing_check.h"
#include "fabric/launch.h"
#include "runtime/compiler/compiler.h"
#include "runtime/compiler/pipeline_stages.h"

namespace lockstep {

// A program and what it was made for.
struct Role {
  CompiledChip compiled;  // without program and placements
  std::shared_ptr<const Schedule> schedule;
  LinkCounts sent{};                               // vectors, by link
  std::shared_ptr<const ProgramCheck> check = {};  // null: not made yet
};

// One part of a step: on one node, or on third chips on the way from it to the next.
struct PipelinePart {
  int stage;
  PartShape shape;
  absl::Span<const uint32_t> chips = {};  // of the fabric, by member; of the pipeline's
  int64_t start = 0, end = 0;             // cycles; of member 0's program
  int position = 0;                       // of those in flight; of a batch the first
  int64_t weight_stream_bytes = 0;        // a chip's
  SramUse sram = {};                      // of the stage, a chip's
};

// Immutable but for programs compiled on the way; one thread.
class PipelinePrograms {
 public:
  // Of one token, or of a batch of the plan's size.
  enum class Step : uint8_t { kToken, kBatch };

  PipelinePrograms(Pipeline pipeline, const ChipTiming& timing, Step step);
  PipelinePrograms(const PipelinePrograms&) = delete;  // parts refer to the pipeline
  PipelinePrograms& operator=(const PipelinePrograms&) = delete;

  const Pipeline& pipeline() const { return pipeline_; }
  const ChipTiming& timing() const { return timing_; }
  Step step() const { return step_; }
  int batch() const { return step_ == Step::kBatch ? pipeline_.plan.batch : 1; }

  // Where a chip of the fabric stands; nothing for chips that no stage holds.
  struct Seat {
    int stage, member;
  };
  std::optional<Seat> SeatOf(uint32_t chip) const;

  // Compiled when first asked for. Errors: CompileChip's and CompilePrefill's.
  absl::StatusOr<std::shared_ptr<const Role>> RoleOf(const PipelinePart& part, int member);
  // REQUIRES: it has been compiled.
  const Role& FirstRoleOf(const PipelinePart& part) const;
  // All members' of all parts that have none yet, on threads, and what they do on their chips.
  absl::Status CompileAll(absl::Span<const PipelinePart> parts, int threads);
  size_t roles() const { return roles_.size(); }
  // Hands over what is known of the programs (chip/timing_check.h).
  void TellChecks(CheckCache& checks) const;

  // The kinds of `parts` whose placements are not known; v1.Placements with names only.
  std::string Wanted(absl::Span<const PipelinePart* const> parts) const;
  // v1.Placements of those that are known. Errors: kDataLoss if `wanted` is not what Wanted gives.
  absl::StatusOr<std::string> AnswerTo(absl::string_view wanted) const;
  absl::Status Learn(absl::string_view answer);

 private:
  // placements: empty and then filled, or followed (CompileChip); null: neither.
  absl::StatusOr<std::shared_ptr<const Role>> Compile(const PipelinePart& part, int member,
                                                      bool check, Placements* placements) const;
  absl::StatusOr<CompiledChip> CompilePart(const PipelinePart& part, int member,
                                           const Placements* known) const;
  // What decides a program, of one member, or of all of them the placements.
  std::string Picture(const PipelinePart& part, std::optional<int> member) const;
  std::string ShapePicture(const StageShape& shape) const;
  const StageShape* StageOfRelay(const PipelinePart& part, int member) const;
  // Null for third chips, each of which has placements of its own.
  Placements* PlacementsOf(const PipelinePart& part);

  const Pipeline pipeline_;
  const ChipTiming timing_;
  const Step step_;
  std::map<uint32_t, Seat> seats_;
  std::map<std::string, std::shared_ptr<const Role>> roles_;  // by picture
  std::map<std::string, Placements> placements_;              // by picture of all members
};

}  // namespace lockstep
