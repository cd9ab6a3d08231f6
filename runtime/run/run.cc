// The course of a run, in one visible function (runtime/run/run.h).
#include "runtime/run/run.h"

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "fabric/agreement.h"
#include "runtime/machine/link_traffic.h"
#include "runtime/run/generate.h"
#include "runtime/run/report.h"
#include "runtime/run/timeline.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The files that the user asked for; made before the run, since a run may be long.
struct Outputs {
  std::optional<AtomicFile> logits, report, timeline, table, links;
};

absl::Status Open(const std::string& path, std::optional<AtomicFile>* file) {
  if (path.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(*file, AtomicFile::Create(path));
  return absl::OkStatus();
}

absl::Status OpenOutputs(const RunOptions& options, Outputs* outputs) {
  RETURN_IF_ERROR(Open(options.logits, &outputs->logits));
  RETURN_IF_ERROR(Open(options.report, &outputs->report));
  RETURN_IF_ERROR(Open(options.table, &outputs->table));
  RETURN_IF_ERROR(Open(options.links, &outputs->links));
  return Open(options.timeline, &outputs->timeline);
}

// Ok in all processes, or process 0's error there and a short one elsewhere.
absl::Status AgreeOnFirst(Transport& transport, const absl::Status& mine) {
  std::string verdict = mine.ok() ? "" : "process 0 failed";
  transport.Broadcast(&verdict);
  if (!mine.ok()) return mine;
  return verdict.empty() ? absl::OkStatus() : absl::AbortedError(verdict);
}

absl::Status Write(std::optional<AtomicFile>& file, absl::string_view bytes) {
  RETURN_IF_ERROR(file->Append(bytes));
  return file->Commit();
}

// Where each chip's programs stand in a step, for the timeline.
absl::StatusOr<std::vector<std::vector<TimelineProgram>>> ProgramsOf(const RunSetup& setup,
                                                                     CompiledPipeline& compiled) {
  std::vector<std::vector<TimelineProgram>> out(setup.chips());
  for (size_t chip = 0; chip < out.size(); ++chip) {
    ASSIGN_OR_RETURN(const std::vector<CompiledPipeline::ChipPart> parts,
                     compiled.PartsOf(static_cast<uint32_t>(chip)));
    for (const auto& p : parts) out[chip].push_back({p.part->start, &p.role->compiled.spans});
  }
  return out;
}

absl::Status Finish(const RunSetup& setup, const Session& session, const RunResult& result,
                    const HostTimes& host, std::vector<ChipEvent> events, Outputs& outputs,
                    const RunView& view) {
  const RunReport report = MakeReport(setup, session, result, host);
  if (outputs.logits) RETURN_IF_ERROR(outputs.logits->Commit());
  if (outputs.timeline) {
    ASSIGN_OR_RETURN(std::vector<std::vector<TimelineProgram>> programs,
                     ProgramsOf(setup, session.compiled()));
    TimelineInput input{setup.wiring, std::move(programs), session.cost().cycles,
                        std::move(events)};
    if (session.batches() != nullptr) {
      input.batches = result.batches;
      input.batch_cycles = session.batch_cost().cycles;
      ASSIGN_OR_RETURN(input.batch_programs, ProgramsOf(setup, *session.batches()));
    }
    RETURN_IF_ERROR(Write(outputs.timeline, TimelineJson(input)));
  }
  if (outputs.report) RETURN_IF_ERROR(Write(outputs.report, ReportJson(report)));
  if (outputs.table) RETURN_IF_ERROR(Write(outputs.table, ReportTable(report)));
  if (outputs.links) {
    RETURN_IF_ERROR(Write(outputs.links, LinkTrafficCsv(setup.wiring, session.link_traffic(),
                                                     session.cost().cycles)));
  }
  if (view.table) view.table(ReportTable(report));
  return absl::OkStatus();
}

}  // namespace

absl::Status RunProcess(const RunSetup& setup, Transport& transport, const RunView& view) {
  const Clock::time_point start = Clock::now();
  const RunOptions& options = setup.options;
  const bool first = transport.process().rank == 0;
  Outputs outputs;
  RETURN_IF_ERROR(
      AgreeOnFirst(transport, first ? OpenOutputs(options, &outputs) : absl::OkStatus()));
  std::optional<TimelineRecorder> recorder;
  if (!options.timeline.empty()) {
    recorder.emplace(setup.chips(), options.timeline_steps.value_or(1));
  }
  ASSIGN_OR_RETURN(
      const std::unique_ptr<Session> session,
      Session::Create(setup.session, &transport, setup.checkpoint ? &*setup.checkpoint : nullptr,
                      recorder ? &*recorder : nullptr));
  if (recorder) {
    const int positions = session->plan().prompt_positions();
    const int batches = positions > 1 ? static_cast<int>(setup.prompt_ids.size()) / positions : 0;
    for (uint32_t chip : transport.chips()) {
      const auto [token, batch] = session->launches_of(chip);
      recorder->SetPrograms(chip, {batches, batch, token});
    }
  }
  HostTimes host{.transport = options.transport,
                 .ranks = transport.process().ranks,
                 .threads = options.threads.value_or(1)};
  host.start_seconds = SecondsSince(start);
  const Clock::time_point ready = Clock::now();
  RunResult result;
  absl::Status status;
  if (first) {
    GenerateSinks sinks{view.text, view.progress, outputs.logits ? &*outputs.logits : nullptr};
    absl::StatusOr<RunResult> generated = Generate(setup, *session, sinks);
    status = generated.status();
    if (generated.ok()) result = *std::move(generated);
  } else {
    status = session->Follow();
  }
  host.run_seconds = SecondsSince(ready);
  // A fault is everywhere; an error of process 0 alone, such as a full disk, must get there.
  RETURN_IF_ERROR(AgreeOnFirst(transport, status));
  result.timing_digest = session->TimingDigest();
  std::vector<ChipEvent> events;
  if (recorder) events = GatherEvents(transport, recorder->Take());
  if (!first) return absl::OkStatus();
  return Finish(setup, *session, result, host, std::move(events), outputs, view);
}

}  // namespace lockstep
