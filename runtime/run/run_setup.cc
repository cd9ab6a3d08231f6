// Reads, plans, wires (runtime/run/run_setup.h).
#include "runtime/run/run_setup.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/compiler/image.h"
#include "runtime/compiler/prompt_room.h"
#include "runtime/files/host.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/topology_file.h"
#include "runtime/machine/verify.h"
#include "runtime/model/model_source.h"

namespace lockstep {
namespace {

// Programs are not compiled for less, so that short runs of one model share one program.
constexpr int kLeastContext = 8;
// Of a timeline, which takes some 70 MB a chip for layers of billions of parameters.
constexpr int kMostTimelineChips = 128;

absl::StatusOr<ModelConfig> LoadShape(const RunOptions& options) {
  std::error_code error;
  const bool folder = std::filesystem::exists(options.model, error);
  if (options.engine == EngineKind::kTiming) return FindModelShape(options.model);
  if (!folder) {
    return absl::NotFoundError(absl::StrCat("--model ", options.model, ": no such folder"));
  }
  return LoadModelConfig(options.model);
}

absl::Status CheckChips(const RunOptions& options, const Topology& topology) {
  if (!options.chips) return absl::OkStatus();
  const int chips = *options.chips, node = topology.chips_per_node();
  if (chips > topology.num_chips()) {
    return absl::InvalidArgumentError(absl::StrCat("--chips ", chips, ": topology ",
                                                   topology.name(), " has ", topology.num_chips()));
  }
  if (chips > node) {
    return absl::InvalidArgumentError(
        absl::StrCat("--chips ", chips, ": layers are cut over the chips of one node, and one of ",
                     topology.name(), " has ", node));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int>> PromptIds(const RunOptions& options,
                                           const std::optional<Tokenizer>& tokenizer,
                                           const ModelConfig& model) {
  std::vector<int> ids;
  if (options.prompt) {
    if (!tokenizer) return NoTokenizerError(options.model);
    ASSIGN_OR_RETURN(ids, tokenizer->Encode(*options.prompt, true));
  } else {
    ids = *options.prompt_ids;
  }
  for (int id : ids) {
    if (id < 0 || id >= model.vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("prompt id ", id, ": the vocabulary has ids 0..", model.vocab_size - 1));
    }
  }
  return ids;
}

absl::StatusOr<int> ChooseContext(const RunOptions& options, const ModelConfig& model,
                                  int prompt_size) {
  const int64_t positions = int64_t{prompt_size} + options.tokens - 1;
  const int limit = options.context.value_or(model.max_context());
  if (positions > limit) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a prompt of ", prompt_size, " ids and ", options.tokens, " tokens more need a context of ",
        positions, " positions; ", options.context ? "--context gives " : "the model has ", limit));
  }
  if (options.context) return *options.context;
  return std::min(model.max_context(), std::max(kLeastContext, static_cast<int>(positions)));
}

std::vector<int> EosIds(const RunOptions& options, const ModelConfig& model,
                        const std::optional<Tokenizer>& tokenizer) {
  if (options.ignore_eos) return {};
  if (model.eos_ids.empty() && tokenizer && tokenizer->eos_id()) return {*tokenizer->eos_id()};
  return model.eos_ids;
}

// The batch that was asked for, for which the deployment has room, or as much as fits.
absl::Status ChooseBatch(const RunOptions& options, int prompt_size,
                         const std::vector<StageShape>& stages, Plan* plan) {
  const int asked = options.prefill_batch.value_or(0), flight = options.prompt_flight.value_or(1);
  if (asked > 1 && asked > prompt_size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--prefill-batch ", asked, " has no effect on a prompt of ", prompt_size, " ids"));
  }
  plan->all_logits = !options.logits.empty();
  if (asked == 0) {
    const PromptSteps steps = ChooseSteps(*plan, stages, prompt_size, flight);
    plan->batch = steps.batch, plan->inbox = steps.inbox;
  } else {
    plan->batch = asked;
    if (asked > 1) RETURN_IF_ERROR(BatchFits(*plan, stages));
    if (flight > 1) plan->inbox = InboxOfFlight(*plan, stages, flight);
  }
  if (plan->batch == 1 && flight == 1) plan->all_logits = false;
  return absl::OkStatus();
}

// Positions that follow each other through the stages, singly or in batches.
absl::Status ChooseFlight(const RunOptions& options, int prompt_size, Pipeline* pipeline) {
  const int flight = options.prompt_flight.value_or(1), batch = pipeline->plan.batch;
  if (flight == 1) return absl::OkStatus();
  const auto refuse = [&](const auto&... why) {
    return absl::InvalidArgumentError(absl::StrCat("--prompt-flight ", flight, why...));
  };
  if (flight > prompt_size) return refuse(" has no effect on a prompt of ", prompt_size, " ids");
  if (pipeline->stages.size() == 1) {
    return refuse(
        ": positions follow each other over several stages, here is one; use "
        "--prefill-batch");
  }
  if (flight % batch != 0) return refuse(": not a multiple of --prefill-batch ", batch);
  if (flight == batch) return refuse(" has no effect with batches of ", batch, " positions");
  pipeline->plan.flight = flight;
  return absl::OkStatus();
}

absl::Status CheckTimeline(const RunOptions& options, const Pipeline& pipeline) {
  size_t chips = 0;
  for (const PipelineStage& stage : pipeline.stages) chips += stage.chips.size();
  const Plan& plan = pipeline.plan;
  const int rows = std::max(1, plan.flight / plan.batch);
  if (options.timeline.empty() || chips * rows <= kMostTimelineChips) return absl::OkStatus();
  const std::string all = rows > 1 ? absl::StrCat(" for each of ", rows, " steps in flight") : "";
  return absl::InvalidArgumentError(absl::StrCat("--timeline: ", chips, " chips", all,
                                                 "; of at most ", kMostTimelineChips,
                                                 " a timeline can be kept"));
}

// Takes what is written and drops it.
class Nowhere : public HostMemory {
 public:
  void Store(int, int, int, std::span<const uint8_t>) override {}
  void Load(int, int, std::span<uint8_t, kVectorBytes> out) const override {
    std::fill(out.begin(), out.end(), uint8_t{0});
  }
};

}  // namespace

absl::StatusOr<RunSetup> PrepareRun(const RunOptions& options, const std::string& topology_dir) {
  RETURN_IF_ERROR(ValidateOptions(options));
  ASSIGN_OR_RETURN(TopologySpec spec, LoadTopology(options.topology, topology_dir));
  ASSIGN_OR_RETURN(Topology topology, Topology::Create(std::move(spec)));
  RETURN_IF_ERROR(CheckChips(options, topology));
  const std::string preset = options.hop_latency.value_or(std::string(LinkModel::kDefaultPreset));
  ASSIGN_OR_RETURN(LinkModel links, MakeLinks(topology, preset));
  ASSIGN_OR_RETURN(ChipTiming timing, MakeTiming(options.latencies, links));

  ASSIGN_OR_RETURN(ModelConfig model, LoadShape(options));
  ASSIGN_OR_RETURN(std::optional<Tokenizer> tokenizer, Tokenizer::LoadIfPresent(options.model));
  ASSIGN_OR_RETURN(std::vector<int> ids, PromptIds(options, tokenizer, model));
  ASSIGN_OR_RETURN(const int context, ChooseContext(options, model, static_cast<int>(ids.size())));
  std::vector<int> eos = EosIds(options, model, tokenizer);
  ASSIGN_OR_RETURN(const DeploymentRequest request,
                   MakeRequest(options.Deployment(), model, context, topology));
  ASSIGN_OR_RETURN(const Deployment deployment, MakeDeployment(request, topology));
  ASSIGN_OR_RETURN(Pipeline pipeline, MakePipeline(deployment, topology, links, timing));
  const std::vector<StageShape> stages = deployment.shapes();
  RETURN_IF_ERROR(ChooseBatch(options, static_cast<int>(ids.size()), stages, &pipeline.plan));
  RETURN_IF_ERROR(ChooseFlight(options, static_cast<int>(ids.size()), &pipeline));
  pipeline.plan.landing = LargestLanding(pipeline.plan, stages);
  RETURN_IF_ERROR(CheckTimeline(options, pipeline));
  const int chips = static_cast<int>(pipeline.LastChip()) + 1;
  ASSIGN_OR_RETURN(Wiring wiring, MakeWiring(topology, chips, links, timing));
  std::optional<Checkpoint> checkpoint;
  if (options.engine == EngineKind::kFunctional) {
    ASSIGN_OR_RETURN(checkpoint, Checkpoint::Open(options.model));
  }
  SessionSetup session{std::move(pipeline), timing, options.engine};
  if (options.sram_limit) session.limit = SessionSetup::Limit{*options.sram_limit, wiring};
  return RunSetup{
      options,          std::move(tokenizer), std::move(checkpoint), std::move(topology),
      std::move(links), std::move(wiring),    std::move(session),    std::move(ids),
      std::move(eos)};
}

namespace {

absl::Status VerifyPrograms(const RunSetup& setup, CompiledPipeline& compiled) {
  CheckCache& checks = *setup.session.checks;
  compiled.TellChecks(checks);
  std::vector<Launches> launches;
  std::vector<int64_t> sram_bytes;
  for (int chip = 0; chip < setup.chips(); ++chip) {
    ASSIGN_OR_RETURN(const std::vector<CompiledPipeline::ChipPart> parts,
                     compiled.PartsOf(static_cast<uint32_t>(chip)));
    launches.push_back(LaunchesOf(parts));
    sram_bytes.push_back(parts.empty() ? 0 : parts.front().role->compiled.layout.use.total());
  }
  return VerifyLaunches(launches, sram_bytes, setup.wiring, setup.session.timing, &checks).status();
}

}  // namespace

absl::Status VerifyRun(RunSetup* setup) {
  SessionSetup& session = setup->session;
  session.checks = MakeSharedChecks(session.timing);
  const int threads = setup->options.threads.value_or(HostCores());
  ASSIGN_OR_RETURN(session.compiled,
                   CompiledPipeline::Create(session.pipeline, session.timing,
                                            CompiledPipeline::Step::kToken, threads));
  RETURN_IF_ERROR(VerifyPrograms(*setup, *session.compiled));
  if (session.pipeline.plan.prompt_positions() > 1) {
    ASSIGN_OR_RETURN(session.batches, CompilePrompt(session.compiled, threads));
    RETURN_IF_ERROR(VerifyPrograms(*setup, *session.batches));
  }
  if (!setup->checkpoint || setup->options.transport == TransportKind::kLocal) {
    return absl::OkStatus();
  }
  const PipelineStage& stage = session.pipeline.stages.front();
  ASSIGN_OR_RETURN(const std::vector<CompiledPipeline::ChipPart> parts,
                   session.compiled->PartsOf(stage.chips.front()));
  Nowhere memory;
  return WriteModel(session.pipeline.plan, stage.shape, 0, parts.front().role->compiled.layout.map,
                    *setup->checkpoint, memory);
}

}  // namespace lockstep
