// Rules among the options of a run. An option without effect is an error, since whoever gives it
// believes that it has one.
#include "runtime/run/run_options.h"

#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "chip/check.h"

namespace lockstep {
namespace {

absl::Status Bad(const std::string& why) { return absl::InvalidArgumentError(why); }

absl::Status NoEffect(absl::string_view option, absl::string_view because) {
  return Bad(absl::StrCat(option, " has no effect ", because));
}

absl::Status AtLeastOne(absl::string_view option, const std::optional<int>& value) {
  if (!value || *value >= 1) return absl::OkStatus();
  return Bad(absl::StrCat(option, " ", *value, ": it must be at least 1"));
}

absl::Status CheckInput(const RunOptions& o) {
  if (o.model.empty()) return Bad("--model is missing");
  if (o.topology.empty()) return Bad("--topology is missing");
  if (o.prompt && o.prompt_ids) return Bad("--prompt and --prompt-ids exclude each other");
  if (!o.prompt && !o.prompt_ids) return Bad("one of --prompt and --prompt-ids is needed");
  if (o.prompt_ids && o.prompt_ids->empty()) return Bad("--prompt-ids: at least one id is needed");
  return AtLeastOne("--tokens", o.tokens);
}

absl::Status CheckNumbers(const RunOptions& o) {
  RETURN_IF_ERROR(AtLeastOne("--chips", o.chips));
  RETURN_IF_ERROR(AtLeastOne("--nodes", o.nodes));
  RETURN_IF_ERROR(AtLeastOne("--sequences", o.sequences));
  RETURN_IF_ERROR(ValidateDeploymentOptions(o.Deployment()));
  RETURN_IF_ERROR(AtLeastOne("--chips-per-rank", o.chips_per_rank));
  RETURN_IF_ERROR(AtLeastOne("--threads", o.threads));
  RETURN_IF_ERROR(AtLeastOne("--context", o.context));
  RETURN_IF_ERROR(AtLeastOne("--timeline-steps", o.timeline_steps));
  if (o.sram_limit && *o.sram_limit < 1) {
    return Bad(absl::StrCat("--sram-limit ", *o.sram_limit, ": it must be at least 1"));
  }
  RETURN_IF_ERROR(AtLeastOne("--prompt-flight", o.prompt_flight));
  if (o.threads && *o.threads > 256) {
    return Bad(absl::StrCat("--threads ", *o.threads, ": at most 256"));
  }
  return absl::OkStatus();
}

absl::Status CheckTransport(const RunOptions& o) {
  const bool mpi = o.transport == TransportKind::kMpi;
  if (mpi && o.threads) return NoEffect("--threads", "with --transport mpi");
  if (mpi && o.sram_limit) return NoEffect("--sram-limit", "with --transport mpi");
  if (o.pack_chips && o.chips_per_rank) return Bad("--chips-per-rank is either a number or auto");
  if (!mpi && (o.chips_per_rank || o.pack_chips)) {
    return NoEffect("--chips-per-rank", "with --transport local");
  }
  return absl::OkStatus();
}

absl::Status CheckEngine(const RunOptions& o) {
  if (o.timeline_steps && o.timeline.empty()) {
    return NoEffect("--timeline-steps", "without --timeline");
  }
  if (o.engine != EngineKind::kTiming) return absl::OkStatus();
  const absl::string_view why = "with --engine timing, which has no values";
  if (o.sram_limit) return NoEffect("--sram-limit", why);
  if (!o.logits.empty()) return NoEffect("--logits", why);
  if (o.temperature) return NoEffect("--temperature", why);
  if (o.top_k) return NoEffect("--top-k", why);
  if (o.top_p) return NoEffect("--top-p", why);
  if (o.seed) return NoEffect("--seed", why);
  if (o.ignore_eos) return NoEffect("--ignore-eos", why);
  return absl::OkStatus();
}

absl::Status CheckSampling(const RunOptions& o) {
  if (o.seed && !o.Sampled()) {
    return NoEffect("--seed", "on greedy generation; give --temperature, --top-k or --top-p");
  }
  if (o.temperature && *o.temperature == 0 && (o.top_k || o.top_p)) {
    return NoEffect(o.top_k ? "--top-k" : "--top-p", "at --temperature 0, which is greedy");
  }
  // The sampler's own rules, with its own words.
  return o.Sampled() ? Sampler::Create(o.Sampler()).status() : absl::OkStatus();
}

absl::Status CheckFiles(const RunOptions& o) {
  const std::string files[] = {o.logits, o.report, o.timeline, o.table, o.links};
  for (size_t i = 0; i < std::size(files); ++i) {
    for (size_t j = i + 1; j < std::size(files); ++j) {
      if (!files[i].empty() && files[i] == files[j]) {
        return Bad(absl::StrCat("two outputs to one file: ", files[i]));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

DeploymentOptions RunOptions::Deployment() const {
  std::optional<std::string> format;
  if (weights) format = NumberFormatName(*weights);
  return {format, kv_cache, sequences, chips, nodes, failed, prefill_batch};
}

bool RunOptions::Sampled() const {
  if (temperature) return *temperature != 0;
  return top_k || top_p;
}

SamplerOptions RunOptions::Sampler() const {
  SamplerOptions out;
  out.greedy = !Sampled();
  if (out.greedy) return out;
  out.temperature = temperature.value_or(1.0);
  out.top_k = top_k.value_or(0);
  out.top_p = top_p.value_or(1.0);
  out.seed = seed.value_or(0);
  return out;
}

absl::Status ValidateOptions(const RunOptions& options) {
  for (auto* check :
       {&CheckInput, &CheckNumbers, &CheckTransport, &CheckEngine, &CheckSampling, &CheckFiles}) {
    RETURN_IF_ERROR((*check)(options));
  }
  return absl::OkStatus();
}

std::vector<std::string> RankArguments(const RunOptions& o) {
  std::vector<std::string> out;
  // One argument a pair, "--name=value": a value that begins with a dash stays a value.
  const auto add = [&out](const char* name, const std::string& value) {
    out.push_back(absl::StrCat(name, "=", value));
  };
  const auto number = [&add](const char* name, const std::optional<int>& value) {
    if (value) add(name, absl::StrCat(*value));
  };
  const auto text = [&add](const char* name, const std::string& value) {
    if (!value.empty()) add(name, value);
  };
  const auto exact = [&add](const char* name, const std::optional<double>& value) {
    if (value) add(name, absl::StrFormat("%.17g", *value));
  };
  text("--model", o.model);
  text("--topology", o.topology);
  text("--topology-dir", o.topology_dir);
  // Two arguments: after "--prompt=" alone the parser would take the next one for the text.
  if (o.prompt) out.insert(out.end(), {"--prompt", *o.prompt});
  if (o.prompt_ids) add("--prompt-ids", JoinIds(*o.prompt_ids));
  number("--tokens", o.tokens);
  if (o.ignore_eos) out.push_back("--ignore-eos");
  if (o.engine == EngineKind::kTiming) add("--engine", "timing");
  if (o.hop_latency) add("--hop-latency", *o.hop_latency);
  number("--chips", o.chips);
  number("--nodes", o.nodes);
  number("--sequences", o.sequences);
  if (o.kv_cache) add("--kv", *o.kv_cache);
  for (const std::string& node : o.failed) add("--failed", node);
  number("--chips-per-rank", o.chips_per_rank);
  if (o.pack_chips) add("--chips-per-rank", "auto");
  number("--context", o.context);
  if (o.weights) add("--weights", NumberFormatName(*o.weights));
  number("--prefill-batch", o.prefill_batch);
  number("--prompt-flight", o.prompt_flight);
  for (const std::string& latency : o.latencies) add("--set", latency);
  exact("--temperature", o.temperature);
  number("--top-k", o.top_k);
  exact("--top-p", o.top_p);
  if (o.seed) add("--seed", absl::StrCat(*o.seed));
  text("--logits", o.logits);
  text("--report", o.report);
  text("--timeline", o.timeline);
  text("--links", o.links);
  text("--table", o.table);
  number("--timeline-steps", o.timeline_steps);
  if (o.quiet) out.push_back("--quiet");
  if (o.progress) out.push_back("--progress");
  return out;
}

absl::StatusOr<std::vector<int>> ParseIds(const std::string& text) {
  std::vector<int> ids;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    int id = 0;
    if (!absl::SimpleAtoi(part, &id) || id < 0) {
      return Bad(absl::StrCat("--prompt-ids: \"", part,
                              "\" is no token id; give numbers with commas between: 1,403,407"));
    }
    ids.push_back(id);
  }
  return ids;
}

std::string JoinIds(const std::vector<int>& ids) { return absl::StrJoin(ids, ","); }

}  // namespace lockstep
