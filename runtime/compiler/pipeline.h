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
// Only the last one has a head. Where several stages hold rows of the embedding they go in groups,
// whose embeddings wait in the first stage's inbox:
//
//   embedding  p0 p1 p2 p3                     p4 p5 p6 p7
//   layers                 p0   p1   p2   p3                p4 ..
//
// Of several sequences one's positions in flight follow the other's.
//
// Chips in one role share one program: the same part on the same shapes, by the same member of a
// node, with the same cables in use. Starts differ.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chip/timing_check.h"
#include "fabric/launch.h"
#include "fabric/link_model.h"
#include "fabric/topology.h"
#include "runtime/compiler/compiler.h"
#include "runtime/compiler/deployment.h"

namespace lockstep {

struct PipelineStage {
  StageShape shape;
  std::vector<uint32_t> chips;  // of the fabric, by member
  std::vector<Group> groups;    // by member
};

struct Pipeline {
  Plan plan;  // of the chips of each stage
  std::vector<PipelineStage> stages;
  std::vector<NodeRoute> forward;   // [s]: from stage s to s + 1
  std::vector<NodeRoute> backward;  // [s]: from stage s + 1 to s
  // [s]: forward, and ways over third chips beside it, for transfers of many positions.
  std::vector<NodeRoute> spread = {};

  // The highest number of a chip that has work, be it only to pass something on.
  uint32_t LastChip() const;
  // Of all that decides programs and images: ranks compare it before they start.
  uint64_t Digest() const;
};

// The group that `chips` of a topology form, as each of them sees it; all must be cabled to each
// other.
absl::StatusOr<std::vector<Group>> GroupsOf(const Topology& topology,
                                            const std::vector<uint32_t>& chips,
                                            const LinkModel& links);

// The whole model on one node whose members are chips 0, 1, ...
Pipeline OneStage(Plan plan, std::vector<Group> groups);

// Errors: stages that follow each other without any way between chips that they use.
absl::StatusOr<Pipeline> MakePipeline(const Deployment& deployment, const Topology& topology,
                                      const LinkModel& links, const ChipTiming& timing);

// A program and what it was made for.
struct Role {
  CompiledChip compiled;
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

// Programs of a pipeline. Immutable but for roles compiled on the way; one thread.
class CompiledPipeline {
 public:
  // Of one token, or of a batch of the plan's size.
  enum class Step : uint8_t { kToken, kBatch };
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

  const Pipeline& pipeline() const { return pipeline_; }
  const ChipTiming& timing() const { return timing_; }
  // Positions that a part takes.
  int batch() const { return step_ == Step::kBatch ? pipeline_.plan.batch : 1; }
  // Positions of a part whose logits the host wants.
  int logit_rows() const { return pipeline_.plan.batch_logits ? batch() : 1; }
  absl::Span<const PipelinePart> parts() const { return parts_; }  // in order of the step
  int64_t cycles() const;  // of a step of all sequences, until the last part's end
  int64_t latency() const { return latency_; }  // of one sequence's step
  // From the step of one sequence, position or batch to the next one's; 0: there is one.
  int64_t period() const { return period_; }
  // Positions of a flight's groups, and from one group to the next; 0: there are none.
  int group() const { return group_; }
  int64_t group_period() const { return group_period_; }

  // Where a chip of the fabric stands; nothing for chips that no stage holds.
  struct Seat {
    int stage, member;
  };
  std::optional<Seat> SeatOf(uint32_t chip) const;

  struct ChipPart {
    const PipelinePart* part;
    std::shared_ptr<const Role> role;
  };
  // The chip's parts by start, what it passes on among them; roles are compiled when first asked
  // for. Errors: CompileChip's.
  absl::StatusOr<std::vector<ChipPart>> PartsOf(uint32_t chip);
  absl::StatusOr<std::shared_ptr<const Role>> RoleOf(const PipelinePart& part, int member);
  // Of the first chip of the part.
  const Role& FirstRoleOf(const PipelinePart& part) const;
  size_t roles() const { return roles_.size(); }
  // Hands over what is known of the programs (chip/timing_check.h).
  void TellChecks(CheckCache& checks) const;

 private:
  CompiledPipeline(Pipeline pipeline, const ChipTiming& timing, Step step, Ways ways)
      : pipeline_(std::move(pipeline)), timing_(timing), step_(step), ways_(ways) {}
  struct RowGroup;
  void ListParts();
  void AddPart(int stage, const PartShape& shape);
  const NodeRoute& Forward(int stage) const;
  absl::Status SetStarts(std::vector<PipelinePart>& row);
  void Repeat();
  absl::StatusOr<std::vector<PipelinePart>> WithoutHeads(const std::vector<PipelinePart>& row);
  absl::Status FollowOn(int rows);
  absl::Status FollowInGroups(int rows);
  // Of all parts and members that have no program yet, on threads.
  absl::Status CompileAll(int threads);
  // placements: null, or empty and then filled, or followed (CompileChip).
  absl::StatusOr<std::shared_ptr<const Role>> CompileRole(const PipelinePart& part, int member,
                                                          bool check, Placements* placements) const;
  absl::StatusOr<CompiledChip> CompilePart(const PipelinePart& part, int member,
                                           const Placements* known) const;
  // What decides a program, of one member, or of all of them the placements.
  std::string Picture(const PipelinePart& part, std::optional<int> member) const;
  std::string ShapePicture(const StageShape& shape) const;
  const StageShape* StageOfRelay(const PipelinePart& part, int member) const;

  const Pipeline pipeline_;
  const ChipTiming timing_;
  const Step step_;
  const Ways ways_;
  std::vector<PipelinePart> parts_;
  int64_t latency_ = 0, period_ = 0, group_period_ = 0;
  int group_ = 0;
  std::map<uint32_t, Seat> seats_;
  std::map<std::string, std::shared_ptr<const Role>> roles_;  // by picture
};

// The step that takes plan.prompt_positions() > 1 positions of a prompt: a batch, or several that
// follow each other, or single positions that do. token: of one position. threads: as Create's.
absl::StatusOr<std::shared_ptr<CompiledPipeline>> CompilePrompt(
    const std::shared_ptr<CompiledPipeline>& token, int threads = 0);

Launches LaunchesOf(absl::Span<const CompiledPipeline::ChipPart> parts);

}  // namespace lockstep
