// One line of help for each flag (launcher/run_flags.h).
#include "launcher/run_flags.h"

#include "chip/check.h"
#include "launcher/deployment_flags.h"
#include "launcher/exit_code.h"
#include "launcher/packing.h"

namespace lockstep {
namespace {

void AddInput(CLI::App& app, RunFlags* flags) {
  RunOptions& o = flags->options;
  app.add_option("--model", o.model,
                 "Hugging Face folder (config.json, *.safetensors, tokenizer.model); with the "
                 "timing engine also a published shape such as llama-2-7b")
      ->required();
  app.add_option("--topology", o.topology, "Name, or path of a .textproto file")->required();
  app.add_option("--topology-dir", o.topology_dir, "Folder of <name>.textproto files");
  app.add_option("--prompt", o.prompt, "Text, encoded after the beginning-of-text id");
  app.add_option("--prompt-ids", flags->prompt_ids, "Ids, taken as they are: 1,403,407");
  app.add_option("--tokens", o.tokens, "How many tokens to generate at most")->required();
  app.add_flag("--ignore-eos", o.ignore_eos, "Go on after the end-of-text id");
  app.add_option("--temperature", o.temperature, "Sample at this temperature (default 0: greedy)");
  app.add_option("--top-k", o.top_k, "Sample among the k likeliest tokens");
  app.add_option("--top-p", o.top_p, "Sample among the fewest tokens of this probability");
  app.add_option("--seed", o.seed, "Seed of the sampler (default 0)");
}

void AddMachine(CLI::App& app, RunFlags* flags) {
  RunOptions& o = flags->options;
  app.add_option("--engine", flags->engine,
                 "functional: values and cycles; timing: cycles only, no text")
      ->check(CLI::IsMember({"functional", "timing"}))
      ->capture_default_str();
  app.add_option("--hop-latency", o.hop_latency,
                 "Preset of the published hop latencies (default B)")
      ->check(CLI::IsMember({"A", "B", "C"}));
  app.add_option("--chips", o.chips,
                 "Use the first N chips of each node (default: all, at most 8)");
  app.add_option("--nodes", o.nodes,
                 "Cut the layers over N nodes in a pipeline (default: as few as have room)");
  app.add_option("--sram-limit", o.sram_limit,
                 "With --transport local: hold at most N bytes of SRAM at once; stages are visited in\n"
                 "turn, weights laid out anew from the files each time (default: no limit)");
  app.add_option("--sequences", o.sequences,
                 "Generate N texts at once from the same prompt, one behind the other in the pipeline;\n"
                 "text i is sampled with the seed plus i (default 1)");
  AddSharedFlags(app, &o.kv_cache, &o.failed);
  app.add_option("--chips-per-rank", flags->chips_per_rank,
                 "Chips that one MPI rank runs (default 1), or auto: as the host's cores allow");
  app.add_option(
      "--prefill-batch", o.prefill_batch,
      "Positions of the prompt that a program takes at once: 1, 2, 4, 8 or 16; all stages\n"
      "leave room for it (default: as many as fit anyway and the prompt fills; in flight as\n"
      "many of these as take the least time)");
  app.add_option("--prompt-flight", o.prompt_flight,
                 "Over several stages: positions of the prompt that follow each other through the\n"
                 "pipeline in one step, in batches where these fit (default 1: each position, or\n"
                 "batch, when the one before is done)");
  app.add_option("--context", o.context,
                 "Positions the program is made for (default: what the run needs)");
  app.add_option("--weights", flags->weights,
                 "Format of the layers' matrices; int8: activations are quantised, too (default fp16)")
      ->check(CLI::IsMember({"fp16", "int8"}));
  app.add_option("--set", o.latencies, "Latency of `lockstep isa --assumptions`: NAME=VALUE")
      ->take_all();
}

void AddOutput(CLI::App& app, RunFlags* flags) {
  RunOptions& o = flags->options;
  app.add_option("--logits", o.logits, "File: positions x vocabulary, little-endian fp32");
  app.add_option("--report", o.report, "File: all figures of the run as JSON");
  app.add_option("--links", o.links, "File: vectors and share of time of each link in a token's step, as CSV");
  app.add_option("--timeline", o.timeline,
                 "File: trace for Perfetto, 1 us = 1 cycle; of the first token's step only, unless "
                 "--timeline-steps says more");
  app.add_option("--timeline-steps", o.timeline_steps, "Steps in the timeline (default 1)");
  app.add_option("--table", o.table, "File: the closing table");
  app.add_flag("--quiet", o.quiet, "No table on standard output");
  app.add_flag("--progress", o.progress,
               "A line a step on standard error: `lockstep-progress: 3/12`");
}

}  // namespace

void AddRunFlags(CLI::App& app, RunFlags* flags) {
  AddInput(app, flags);
  AddMachine(app, flags);
  AddOutput(app, flags);
}

void AddTransportFlags(CLI::App& app, RunFlags* flags) {
  app.add_option("--transport", flags->transport,
                 "mpi: starts mpirun with a rank a chip; local: all chips in this process")
      ->check(CLI::IsMember({"mpi", "local"}))
      ->capture_default_str();
  app.add_option("--threads", flags->options.threads,
                 "Threads that step the chips, with --transport local (default 1)");
}

absl::StatusOr<RunOptions> TakeOptions(const RunFlags& flags) {
  RunOptions options = flags.options;
  options.engine = flags.engine == "timing" ? EngineKind::kTiming : EngineKind::kFunctional;
  options.transport = flags.transport == "local" ? TransportKind::kLocal : TransportKind::kMpi;
  if (flags.chips_per_rank) {
    const absl::StatusOr<Packing> packing = ParsePacking(*flags.chips_per_rank);
    if (!packing.ok()) return AsUsage(packing.status());
    options.chips_per_rank = packing->chips_per_rank;
    options.pack_chips = !packing->chips_per_rank;
  }
  if (flags.prompt_ids) {
    const absl::StatusOr<std::vector<int>> ids = ParseIds(*flags.prompt_ids);
    if (!ids.ok()) return AsUsage(ids.status());
    options.prompt_ids = *ids;
  }
  if (flags.weights) {
    options.weights = *flags.weights == "int8" ? NumberFormat::kInt8 : NumberFormat::kFp16;
  }
  if (absl::Status status = ValidateOptions(options); !status.ok()) return AsUsage(status);
  return options;
}

}  // namespace lockstep
