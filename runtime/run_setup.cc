// Reads, plans, wires (runtime/run_setup.h).
#include "runtime/run_setup.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "runtime/image.h"
#include "runtime/machine.h"
#include "runtime/topology_file.h"
#include "runtime/verify.h"

namespace lockstep {
namespace {

// Programs are not compiled for less, so that short runs of one model share one program.
constexpr int kLeastContext = 8;

absl::StatusOr<ModelConfig> LoadShape(const RunOptions& options) {
  std::error_code error;
  const bool folder = std::filesystem::exists(options.model, error);
  if (!folder && options.engine == EngineKind::kTiming) {
    absl::StatusOr<ModelConfig> shape = ShapeByName(options.model);
    if (shape.ok()) return shape;
  }
  if (!folder) {
    return absl::NotFoundError(absl::StrCat("--model ", options.model, ": no such folder"));
  }
  return LoadModelConfig(options.model);
}

absl::StatusOr<int> ChooseChips(const RunOptions& options, const Topology& topology) {
  const int node = topology.chips_per_node();
  if (!options.chips) return std::min({8, node, topology.num_chips()});
  const int chips = *options.chips;
  if (chips > topology.num_chips()) {
    return absl::InvalidArgumentError(absl::StrCat("--chips ", chips, ": topology ",
                                                   topology.name(), " has ",
                                                   topology.num_chips()));
  }
  if (chips > node) {
    return absl::InvalidArgumentError(
        absl::StrCat("--chips ", chips, ": a model is cut over the chips of one node, and one of ",
                     topology.name(), " has ", node));
  }
  return chips;
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
      return absl::InvalidArgumentError(absl::StrCat(
          "prompt id ", id, ": the vocabulary has ids 0..", model.vocab_size - 1));
    }
  }
  return ids;
}

absl::StatusOr<int> ChooseContext(const RunOptions& options, const ModelConfig& model,
                                  int prompt_size) {
  const int64_t positions = int64_t{prompt_size} + options.tokens - 1;
  const int limit = options.context.value_or(model.max_context());
  if (positions > limit) {
    return absl::InvalidArgumentError(
        absl::StrCat("a prompt of ", prompt_size, " ids and ", options.tokens,
                     " tokens more need a context of ", positions, " positions; ",
                     options.context ? "--context gives " : "the model has ", limit));
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
  ASSIGN_OR_RETURN(const int chips, ChooseChips(options, topology));
  const std::string preset = options.hop_latency.value_or(std::string(LinkModel::kDefaultPreset));
  ASSIGN_OR_RETURN(LinkModel links, MakeLinks(topology, preset));
  ASSIGN_OR_RETURN(ChipTiming timing, MakeTiming(options.latencies, links));
  ASSIGN_OR_RETURN(Wiring wiring, MakeWiring(topology, chips, links, timing));
  ASSIGN_OR_RETURN(std::vector<Group> groups, NodeGroups(topology, chips, links));

  ASSIGN_OR_RETURN(ModelConfig model, LoadShape(options));
  ASSIGN_OR_RETURN(std::optional<Tokenizer> tokenizer, Tokenizer::LoadIfPresent(options.model));
  ASSIGN_OR_RETURN(std::vector<int> ids, PromptIds(options, tokenizer, model));
  ASSIGN_OR_RETURN(const int context, ChooseContext(options, model, static_cast<int>(ids.size())));
  ASSIGN_OR_RETURN(Plan plan, MakePlan(model, chips, context));
  std::optional<Checkpoint> checkpoint;
  if (options.engine == EngineKind::kFunctional) {
    ASSIGN_OR_RETURN(checkpoint, Checkpoint::Open(options.model));
  }
  std::vector<int> eos = EosIds(options, model, tokenizer);
  return RunSetup{options,
                  std::move(tokenizer),
                  std::move(checkpoint),
                  std::move(topology),
                  std::move(links),
                  std::move(wiring),
                  {std::move(plan), timing, options.engine, std::move(groups)},
                  std::move(ids),
                  std::move(eos)};
}

absl::Status VerifyRun(const RunSetup& setup) {
  const SessionSetup& session = setup.session;
  const StageShape stage = WholeModel(session.plan.model);
  std::vector<std::shared_ptr<const Schedule>> schedules;
  std::vector<int64_t> sram_bytes;
  std::optional<ModelMap> first_map;
  for (int chip = 0; chip < setup.chips(); ++chip) {
    ASSIGN_OR_RETURN(const CompiledChip compiled,
                     CompileChip(session.plan, stage, session.groups[chip], session.timing));
    DispatchResult dispatched = Dispatch(compiled.program, session.timing,
                                         {.chip = static_cast<uint32_t>(chip)});
    if (dispatched.fault) return absl::InternalError(dispatched.fault->ToString());
    schedules.push_back(std::make_shared<const Schedule>(std::move(dispatched.schedule)));
    sram_bytes.push_back(compiled.layout.use.total());
    if (chip == 0) first_map = compiled.layout.map;
  }
  RETURN_IF_ERROR(VerifyNode(schedules, sram_bytes, setup.wiring, session.timing).status());
  if (!setup.checkpoint) return absl::OkStatus();
  Nowhere memory;
  return WriteModel(session.plan, stage, 0, *first_map, *setup.checkpoint, memory);
}

}  // namespace lockstep
