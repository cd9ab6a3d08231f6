// The two forms of a report: a table for people, JSON for programs.
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "fabric/counted.h"
#include "fabric/link_model.h"
#include "runtime/files/table_row.h"
#include "runtime/model/model_source.h"
#include "runtime/run/report.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

const char* EngineName(EngineKind engine) {
  return engine == EngineKind::kTiming ? "timing" : "functional";
}

std::string Hex(uint64_t digest) { return absl::StrFormat("%016x", digest); }

std::string Time(double seconds) {
  if (seconds < 1e-3) return absl::StrFormat("%.2f us", seconds * 1e6);
  if (seconds < 1) return absl::StrFormat("%.3f ms", seconds * 1e3);
  return absl::StrFormat("%.2f s", seconds);
}

std::string Size(int64_t bytes) {
  if (bytes < 1'000'000) return absl::StrFormat("%.1f kB", static_cast<double>(bytes) / 1e3);
  return absl::StrFormat("%.1f MB", static_cast<double>(bytes) / 1e6);
}

std::string ChipsText(const RunReport& r) {
  std::string text = absl::StrCat(r.chips, " of ", r.topology_chips, " (", r.topology, ")");
  if (r.stages > 1) {
    absl::StrAppend(&text, ": ", r.stages, " stages of ", r.chips / r.stages, " chips");
  } else if (r.topology_nodes > 1) {
    absl::StrAppend(&text, ": tensor parallel inside one node");
  }
  return text;
}

std::string MachineRows(const RunReport& r) {
  std::string hop = absl::StrCat(r.hop_latency, ", ", r.hop_cycles, " cycles: ", r.hop_origin);
  std::string rows = Row("chips", ChipsText(r));
  rows += Row("engine", EngineName(r.options.engine));
  rows += Row("hop latency", hop);
  if (r.hop_latency == LinkModel::kDefaultPreset) {
    rows += Row("", absl::StrCat("the default: ", LinkModel::DefaultReason()));
  }
  for (const std::string& latency : r.options.latencies) rows += Row("changed latency", latency);
  return rows +
         Row("SRAM of a chip",
             absl::StrFormat(
                 "%s of %s (%.1f %%): weights %s%s, KV cache %s%s, rest %s; text %s",
                 Size(r.sram.total()), Size(kSramBytes),
                 100.0 * static_cast<double>(r.sram.total()) / kSramBytes, Size(r.sram.weights()),
                 r.weights == NumberFormat::kInt8 ? " (layers int8)" : "", Size(r.sram.kv_cache),
                 r.kv_cache == NumberFormat::kInt8 ? " (int8)" : "",
                 Size(r.sram.tables + r.sram.activations), Size(r.cost.text_bytes)));
}

// Shares of a token's cycles, "weights 57.1 %, attention 2.0 %, ...".
std::string TimeText(const RunReport& r) {
  std::string text;
  for (int kind = 0; kind < kWorkKinds; ++kind) {
    absl::StrAppend(&text, kind == 0 ? "" : ", ", WorkKindName(static_cast<WorkKind>(kind)),
                    absl::StrFormat(" %.1f %%", 100.0 * static_cast<double>(r.time[kind]) /
                                                    static_cast<double>(r.cost.latency)));
  }
  return text;
}

// A step of the prompt in batches, or in flight.
std::string BatchRow(const RunReport& r) {
  const bool flight = r.flight > 1;
  const std::string what = r.batch > 1 ? absl::StrCat("batch of ", r.batch) : "position";
  std::string each;
  if (flight) {
    each = absl::StrFormat(", a %s each %d cycles", what, r.batch_cost.period);
  } else if (r.sequences > 1) {
    each = absl::StrFormat(", %d cycles behind each other", r.batch_cost.period);
  }
  if (r.group > 0) absl::StrAppendFormat(&each, ", groups of %d each %d", r.group, r.group_cycles);
  if (flight && r.sequences > 1) absl::StrAppend(&each, ", of all sequences");
  return Row(flight ? "a flight" : "a batch",
             absl::StrFormat("%d cycles%s; with host link %s*", r.BatchCycles(), each,
                             Time(r.BatchSeconds())));
}

std::string EmulatedRows(const RunReport& r) {
  const int positions = r.PromptPositions();
  const int single = static_cast<int>(r.prompt_ids.size()) - r.result.batches * positions;
  const bool flight = r.flight > 1;
  std::string prompt = Counted(single, "prompt step");
  if (r.result.batches > 0) {
    const int count = r.result.batches;
    prompt = absl::StrCat("prompt: ",
                          flight ? Counted(count, "flight") : Counted(count, "batch", "batches"),
                          " of ", positions, ", ", Counted(single, "step"));
  }
  std::string rows =
      Row("first token", absl::StrFormat("%s (%s)", Time(r.FirstTokenSeconds()), prompt));
  if (r.result.batches > 0) rows += BatchRow(r);
  rows += Row("a token", absl::StrFormat("%d cycles, %s; with host link %s*", r.cost.latency,
                                         Time(r.ProgramSeconds()), Time(r.LatencySeconds())));
  rows += Row("where it goes", TimeText(r));
  rows += Row("tokens/s/user", absl::StrFormat("%.0f*", 1 / r.StepSeconds()));
  if (r.sequences > 1) {
    rows += Row("sequences",
                absl::StrFormat("%d, %d cycles behind each other: %.0f tokens/s*", r.sequences,
                                r.cost.period, r.sequences / r.StepSeconds()));
  }
  rows += Row("weight streams",
              absl::StrFormat("%.1f %% of 20480 B a cycle and chip", 100 * r.WeightStreamShare()));
  rows += Row("links", r.cost.links == 0
                           ? "none used"
                           : absl::StrFormat("%.2f %% busy on average, %.2f %% the busiest, "
                                             "%d a chip used",
                                             100 * r.MeanLinkShare(),
                                             100 * r.LinkShare(r.cost.busiest_vectors),
                                             r.cost.links / r.chips));
  return rows +
         Row("instructions", absl::StrFormat("%d executed in %s by %s", r.Instructions(),
                                             Counted(r.result.batches + r.result.steps, "step"),
                                             Counted(r.chips, "chip")));
}

std::string HostRows(const RunReport& r) {
  std::string rows = Row(
      "wall time", absl::StrFormat("%s start, %s run, %s a step", Time(r.host.start_seconds),
                                   Time(r.host.run_seconds),
                                   Time(r.host.run_seconds / (r.result.batches + r.result.steps))));
  rows +=
      Row("slowdown", absl::StrFormat("%.0f times slower than the emulated machine", r.Slowdown()));
  std::string digests = absl::StrCat("timing ", Hex(r.result.timing_digest));
  if (r.options.engine == EngineKind::kFunctional) {
    absl::StrAppend(&digests, ", values ", Hex(r.result.value_digest));
  }
  rows += Row("digests", absl::StrCat(digests, ", plan ", Hex(r.plan_digest)));
  return rows + "  * assumes PCIe at 24 GB/s with 10 us each way (groqflow's estimator)\n";
}

Json ModelJson(const RunReport& r) {
  const ModelConfig& m = r.model;
  return {{"model", ModelTitle(r.options.model)}, {"architecture", m.architecture},
          {"hidden_size", m.hidden_size}, {"intermediate_size", m.intermediate_size},
          {"layers", m.layers},           {"heads", m.heads},
          {"kv_heads", m.kv_heads},       {"head_dim", m.head_dim},
          {"vocab_size", m.vocab_size},   {"parameters", m.ParameterCount()}};
}

Json MachineJson(const RunReport& r) {
  Json changed = Json::array();
  for (const std::string& latency : r.options.latencies) changed.push_back(latency);
  return {{"topology", r.topology},
          {"rules", r.topology_rules},
          {"topology_chips", r.topology_chips},
          {"topology_nodes", r.topology_nodes},
          {"chips", r.chips},
          {"partition", r.stages == 1 ? "tensor parallel inside one node"
                                      : "pipeline of nodes, tensor parallel inside each"},
          {"stages", r.stages},
          {"engine", EngineName(r.options.engine)},
          {"clock_hz", kClockHz},
          {"hop_latency",
           {{"preset", r.hop_latency},
            {"cycles", r.hop_cycles},
            {"origin", r.hop_origin},
            {"default", std::string(LinkModel::kDefaultPreset)},
            {"default_reason", std::string(LinkModel::DefaultReason())}}},
          {"vector_on_link_cycles", static_cast<double>(r.link_ticks) / kTicksPerCycle},
          {"changed_latencies", changed}};
}

Json PlanJson(const RunReport& r) {
  return {{"context", r.context},
          {"weights", NumberFormatName(r.weights)},
          {"kv_cache", NumberFormatName(r.kv_cache)},
          {"sram_bytes_per_chip",
           {{"capacity", kSramBytes},
            {"used", r.sram.total()},
            {"layers", r.sram.layers},
            {"embedding", r.sram.embedding},
            {"head", r.sram.head},
            {"kv_cache", r.sram.kv_cache},
            {"tables", r.sram.tables},
            {"activations", r.sram.activations}}},
          {"program_text_bytes", r.cost.text_bytes},
          {"digest", Hex(r.plan_digest)}};
}

Json TimeJson(const RunReport& r) {
  Json json;
  for (int kind = 0; kind < kWorkKinds; ++kind) {
    json[WorkKindName(static_cast<WorkKind>(kind))] = r.time[kind];
  }
  return json;
}

// The programs of a step in their order.
Json PartsJson(const RunReport& r) {
  Json json = Json::array();
  for (const PipelinePart& part : r.parts) {
    json.push_back({{"stage", part.stage},
                    {"embedding", part.shape.embedding},
                    {"layers", part.shape.layers},
                    {"head", part.shape.head},
                    {"start_cycle", part.start},
                    {"end_cycle", part.end}});
  }
  return json;
}

Json EmulatedJson(const RunReport& r) {
  return {{"first_token_us", r.FirstTokenSeconds() * 1e6},
          {"cycles_per_token", r.cost.latency},
          {"cycles_by_work", TimeJson(r)},
          {"programs", PartsJson(r)},
          {"sequences", r.sequences},
          {"cycles_between_sequences", r.cost.period},
          {"cycles_per_step", r.cost.cycles},
          {"program_us_per_token", r.ProgramSeconds() * 1e6},
          {"host_link_us_per_token", r.HostLinkSeconds() * 1e6},
          {"host_link_assumption", "PCIe at 24 GB/s, 10 us each way (groqflow's estimator)"},
          {"latency_us_per_token", r.LatencySeconds() * 1e6},
          {"us_per_token", r.StepSeconds() * 1e6},
          {"tokens_per_second_per_user", 1 / r.StepSeconds()},
          {"tokens_per_second", r.sequences / r.StepSeconds()},
          {"weight_stream_bytes_per_token_and_chip", r.cost.weight_stream_bytes},
          {"weight_stream_share", r.WeightStreamShare()},
          {"links_used_per_chip", r.cost.links / r.chips},
          {"vectors_sent_per_token_and_chip", r.cost.vectors_sent / r.chips},
          {"link_share_mean", r.MeanLinkShare()},
          {"link_share_busiest", r.LinkShare(r.cost.busiest_vectors)},
          {"instructions_per_token_and_chip", r.cost.dispatches / r.chips},
          {"instructions", r.Instructions()},
          {"prefill_batch", r.batch},
          {"prompt_flight", r.flight},
          {"cycles_between_positions", r.batch_cost.period},
          {"prompt_group", r.group},
          {"cycles_between_groups", r.group_cycles},
          {"cycles_per_batch", r.BatchCycles()},
          {"batches", r.result.batches},
          {"steps", r.result.steps}};
}

Json OutputJson(const RunReport& r) {
  const bool values = r.options.engine == EngineKind::kFunctional;
  Json json = {{"prompt_ids", r.prompt_ids}};
  if (values) {
    json["ids"] = r.result.ids;
    if (r.sequences > 1) json["ids_of_all_sequences"] = r.result.all_ids;
    json["text"] = r.result.text;
    json["stop"] = r.result.stop == StopReason::kEndOfText ? "end of text" : "tokens";
  }
  json["timing_digest"] = Hex(r.result.timing_digest);
  if (values) json["value_digest"] = Hex(r.result.value_digest);
  return json;
}

Json HostJson(const RunReport& r) {
  return {{"transport", r.host.transport == TransportKind::kMpi ? "mpi" : "local"},
          {"ranks", r.host.ranks},
          {"threads", r.host.threads},
          {"start_seconds", r.host.start_seconds},
          {"run_seconds", r.host.run_seconds},
          {"seconds_per_step", r.host.run_seconds / (r.result.batches + r.result.steps)},
          {"slowdown", r.Slowdown()}};
}

}  // namespace

std::string ReportTable(const RunReport& report) {
  return MachineRows(report) + EmulatedRows(report) + HostRows(report);
}

std::string ReportJson(const RunReport& report) {
  const Json json = {{"version", 1},
                     {"model", ModelJson(report)},
                     {"machine", MachineJson(report)},
                     {"plan", PlanJson(report)},
                     {"emulated", EmulatedJson(report)},
                     {"output", OutputJson(report)},
                     {"host", HostJson(report)}};
  // Text of a model need not be UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lockstep
