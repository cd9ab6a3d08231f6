// The table of a plan (runtime/planner/plan_report.h).
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/geometry.h"
#include "fabric/counted.h"
#include "fabric/node_chain.h"
#include "runtime/files/table_row.h"
#include "runtime/model/model_source.h"
#include "runtime/planner/plan_report.h"
#include "runtime/run/report.h"

namespace lockstep {
namespace {

double Mega(int64_t bytes) { return static_cast<double>(bytes) / 1e6; }

// "0..5332", "7", or "-" where there is nothing.
std::string Inclusive(int begin, int end) {
  if (begin == end) return "-";
  return end - begin == 1 ? absl::StrCat(begin) : absl::StrCat(begin, "..", end - 1);
}

std::string HeadRows(const PlanReport& r) {
  const Deployment& d = r.choice.deployment;
  const DeploymentRequest& q = r.request;
  std::string rows = absl::StrFormat(
      "%s on %s: weights %s, KV cache %s, context %d, %s\n", ModelTitle(r.model), r.topology.name(),
      NumberFormatName(q.weights), NumberFormatName(q.kv_cache), q.context,
      q.sequences == 1 ? "1 sequence" : absl::StrCat(q.sequences, " sequences in flight"));
  rows += Row(
      "plan",
      absl::StrFormat("%s of %s, %d of %d chips; %s free", Counted(d.num_stages(), "stage"),
                      Counted(d.tensor_parallel(), "chip"), d.num_chips(), r.topology.num_chips(),
                      Counted(static_cast<int64_t>(d.free_spares.size()), "spare node")));
  return rows + Row("digest", absl::StrFormat("%016x", d.Digest()));
}

// The nodes in the order of the pipeline, a line a rack.
std::string NodeRows(const PlanReport& r) {
  std::string rows, line;
  std::optional<RackId> rack;
  const char* label = "nodes in order";
  const auto flush = [&] {
    if (line.empty()) return;
    rows += Row(label, line);
    label = "", line.clear();
  };
  for (const Deployment::Stage& stage : r.choice.deployment.stages) {
    const std::optional<RackId> here = r.topology.rack_of(stage.chips.front());
    if (here != rack || line.size() > 70) flush();
    rack = here;
    absl::StrAppend(&line, line.empty() ? "" : " ", NodeName(r.topology, stage.node));
  }
  flush();
  return rows;
}

std::string StageRows(const PlanReport& r, const std::vector<StageRun>& runs) {
  const Deployment& d = r.choice.deployment;
  std::string rows = absl::StrFormat("\n  %-9s%-12s%-10s%-16s%-16s%s\n", "stages", "nodes",
                                     "layers", "embedding rows", "head rows", "layers a stage");
  for (const StageRun& run : runs) {
    const Deployment::Stage &first = d.stages[run.first], &last = d.stages[run.last];
    const std::string from = NodeName(r.topology, first.node);
    rows += absl::StrFormat(
        "  %-9s%-12s%-10s%-16s%-16s%d\n", Inclusive(run.first, run.last + 1),
        run.first == run.last ? from : absl::StrCat(from, " .. ", NodeName(r.topology, last.node)),
        Inclusive(first.layers.begin, last.layers.end),
        Inclusive(first.embedding.begin, last.embedding.end),
        Inclusive(first.head.begin, last.head.end), first.layers.size());
  }
  return rows;
}

std::string SramRows(const std::vector<StageRun>& runs) {
  std::string rows = absl::StrFormat("\n  SRAM of a chip in MB, of %s B\n", Grouped(kSramBytes));
  rows += absl::StrFormat("  %-9s%9s%11s%8s%10s%8s%13s%9s%8s%9s\n", "stages", "layers", "embedding",
                          "head", "KV cache", "tables", "activations", "total", "%", "free");
  for (const StageRun& run : runs) {
    const SramUse& u = run.size.use;
    rows += absl::StrFormat("  %-9s%9.2f%11.2f%8.2f%10.2f%8.2f%13.2f%9.2f%8.1f%9.2f\n",
                            Inclusive(run.first, run.last + 1), Mega(u.layers), Mega(u.embedding),
                            Mega(u.head), Mega(u.kv_cache), Mega(u.tables), Mega(u.activations),
                            Mega(u.total()), 100.0 * static_cast<double>(u.total()) / kSramBytes,
                            Mega(kSramBytes - u.total()));
  }
  return rows + "\n";
}

std::string PerSecond(int64_t cycles) {
  return absl::StrFormat("%.1f", static_cast<double>(kClockHz) / static_cast<double>(cycles));
}

std::string BoundRows(const PlanReport& r) {
  const TokenBound& b = r.choice.bound;
  const StageBalance balance = BalanceOf(r.choice.deployment);
  std::string rows =
      Row("weight streaming",
          absl::StrFormat("%s cycles a token: weights and KV cache at %s B a cycle and chip, %s",
                          Grouped(b.stream_cycles), Grouped(kWeightStreamBytesPerCycle),
                          b.sequences > 1 ? "of one sequence" : "stage after stage"));
  rows += Row("bound", absl::StrFormat("%s tokens/s/user at %s MHz", PerSecond(b.stream_cycles),
                                       Grouped(kClockHz / 1'000'000)));
  if (b.hop_cycles > 0) {
    rows += Row("with hops", absl::StrFormat("%s tokens/s/user: %s cycles from stage to stage, "
                                             "hop latency %s",
                                             PerSecond(b.user_cycles()), Grouped(b.hop_cycles),
                                             std::string(r.links.preset())));
  }
  if (b.sequences > 1) {
    rows += Row("all sequences", absl::StrFormat("%.1f tokens/s at most",
                                                 static_cast<double>(kClockHz) * b.sequences /
                                                     static_cast<double>(b.user_cycles())));
  }
  return rows +
         Row("balance",
             absl::StrFormat("stage %d streams most: %s B a chip and step, %.2f times the "
                             "mean",
                             balance.slowest, Grouped(balance.slowest_bytes),
                             static_cast<double>(balance.slowest_bytes) / balance.mean_bytes));
}

// Cables from each stage to the next.
std::string CableRows(const PlanReport& r) {
  const Deployment& d = r.choice.deployment;
  if (d.num_stages() == 1) return Row("between stages", "one stage, nothing to send");
  int least = INT32_MAX, most = 0;
  for (int i = 0; i + 1 < d.num_stages(); ++i) {
    const int cables = CablesBetween(r.topology, d.stages[i].node, d.stages[i + 1].node);
    least = std::min(least, cables), most = std::max(most, cables);
  }
  return Row("between stages", absl::StrFormat("%s cables from each stage to the next",
                                               least == most ? absl::StrCat(least)
                                                             : absl::StrCat(least, " to ", most)));
}

// Ways over third chips, where there are.
std::string DetourRows(const PlanReport& r) {
  std::string rows;
  for (const PlanDetour& d : r.schedule.detours) {
    std::string chips;
    for (uint32_t chip : d.relays) {
      absl::StrAppend(&chips, chips.empty() ? "" : ", ", ChipId(chip).ToString(), " of node ",
                      NodeName(r.topology, r.topology.node_of(ChipId(chip))));
    }
    rows += Row("over third chips",
                absl::StrFormat("stage %d to %d, %s of %s cycles: %s", d.stage, d.stage + 1,
                                Counted(d.ways, "way"), Grouped(d.flight_cycles), chips));
  }
  return rows;
}

// What the compiled programs come to.
std::string ScheduleRows(const PlanReport& r) {
  const PlanSchedule& s = r.schedule;
  const TokenBound& b = r.choice.bound;
  std::string rows = Row(
      "compiled",
      absl::StrFormat("%s cycles a token, %s tokens/s/user without the host: %.1f "
                      "%% of the bound; %s",
                      Grouped(s.cycles), PerSecond(s.cycles),
                      100.0 * static_cast<double>(b.stream_cycles) / static_cast<double>(s.cycles),
                      Counted(s.roles, "program")));
  rows += Row("instruction text", absl::StrFormat("%.2f MB a chip at most, held in queues and not "
                                                  "in SRAM",
                                                  Mega(s.text_bytes)));
  const auto load = [](const LinkLoad& l) {
    return absl::StrFormat("the busiest sends %s vectors a token, %.1f %% of its chip's time",
                           Grouped(l.vectors), 100 * l.share);
  };
  if (s.in_node.vectors > 0) rows += Row("links in a node", load(s.in_node));
  if (s.between_nodes.vectors > 0) rows += Row("links between nodes", load(s.between_nodes));
  return rows;
}

std::string Counts(const VocabularyStages& v) {
  return absl::StrFormat("%d with embedding rows and %d with head rows", v.embedding, v.head);
}

// What is taken of a prompt at once, and what larger batches would cost a token.
std::string PromptRows(const PlanReport& r) {
  const PromptOffers& p = r.prompt;
  std::string first = p.batch > 1 ? absl::StrFormat("batches of %d positions", p.batch)
                                  : std::string("position by position");
  if (p.inbox > 1) absl::StrAppend(&first, ", ", p.inbox, " of these in a group");
  std::string rows = Row("prompts", first);
  for (const PromptOffers::Larger& larger : p.larger) {
    const std::string name = absl::StrCat("--prefill-batch ", larger.batch);
    if (!larger.stages) {
      rows += Row(name, absl::StrCat("no room: ", larger.why_not));
      continue;
    }
    const int more = larger.stages->embedding + larger.stages->head - p.now.embedding - p.now.head;
    rows += Row(name, absl::StrFormat(
                          "would have room: %s instead of %d and %d, so at least %s cycles of hops "
                          "more a token",
                          Counts(*larger.stages), p.now.embedding, p.now.head,
                          Grouped(more * r.links.hop_cycles())));
  }
  return rows;
}

std::string RunnerUpRows(const PlanReport& r) {
  std::string rows = "\n  not taken\n";
  const double best = static_cast<double>(r.choice.bound.user_cycles());
  for (const PlanCandidate& c : r.choice.runners_up) {
    const std::string name =
        absl::StrCat(Counted(c.tensor_parallel, "chip"), " a stage",
                     c.stages > 0 ? absl::StrCat(", ", Counted(c.stages, "stage")) : std::string());
    std::string why = c.why_not;
    if (why.empty()) {
      const double slower = 100 * (static_cast<double>(c.bound.user_cycles()) / best - 1);
      why = slower > 0 ? absl::StrFormat("%.1f %% slower: %s tokens/s/user", slower,
                                         PerSecond(c.bound.user_cycles()))
                       : "as fast, with more chips";
    }
    rows += absl::StrFormat("  %-32s%s\n", name, why);
  }
  return r.choice.runners_up.empty() ? "" : rows;
}

std::string FailureRows(const PlanReport& r) {
  if (!r.without_failures) return "";
  const Deployment &before = *r.without_failures, &now = r.choice.deployment;
  std::string rows = "\n";
  for (NodeId node : r.request.failed) {
    const auto holds = std::find_if(before.stages.begin(), before.stages.end(),
                                    [&](const Deployment::Stage& s) { return s.node == node; });
    rows +=
        Row("failed",
            absl::StrCat("node ", NodeName(r.topology, node),
                         holds == before.stages.end()
                             ? ", which holds no stage: nothing changes"
                             : absl::StrCat(", which held stage ", holds - before.stages.begin())));
  }
  const auto node = [&](const Deployment& d, int stage) {
    return NodeName(r.topology, d.stages[stage].node);
  };
  for (int i = 0; i < now.num_stages(); ++i) {
    if (before.stages[i].node == now.stages[i].node) continue;
    rows += Row("moved", absl::StrCat("stage ", i, " from node ", node(before, i), " to node ",
                                      node(now, i)));
  }
  for (int i = 0; i + 1 < now.num_stages(); ++i) {
    if (before.stages[i].node == now.stages[i].node &&
        before.stages[i + 1].node == now.stages[i + 1].node) {
      continue;
    }
    rows += Row("changed transfer",
                absl::StrFormat(
                    "stage %d to %d: %s to %s instead of %s to %s, %s", i, i + 1, node(now, i),
                    node(now, i + 1), node(before, i), node(before, i + 1),
                    Counted(CablesBetween(r.topology, now.stages[i].node, now.stages[i + 1].node),
                            "cable")));
  }
  return rows;
}

}  // namespace

std::string PlanTable(const PlanReport& report) {
  const std::vector<StageRun> runs = StageRuns(report.choice.deployment);
  return HeadRows(report) + NodeRows(report) + StageRows(report, runs) + SramRows(runs) +
         BoundRows(report) + CableRows(report) + DetourRows(report) + ScheduleRows(report) +
         PromptRows(report) + FailureRows(report) + RunnerUpRows(report);
}

}  // namespace lockstep
