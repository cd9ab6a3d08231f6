// Verification of a node's programs (runtime/machine/verify.h).
#include "runtime/machine/verify.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/geometry.h"

namespace lockstep {

ChipOperations LinkOperationsOf(const Schedule& schedule, const ProgramCheck& check) {
  ChipOperations out;
  for (int link = 0; link < kC2cLinks; ++link) {
    for (const LinkRun& r : check.links[link]) {
      const Run& run = schedule.runs[r.run];
      LinkOperation op{.link = link, .cycles = {run.first, run.period, run.count}};
      op.op = run.instr.op == Opcode::kSend      ? LinkOp::kSend
              : run.instr.op == Opcode::kReceive ? LinkOp::kReceive
                                                 : LinkOp::kTransmit;
      if (op.op == LinkOp::kReceive) {
        op.slice = run.instr.arg[0], op.address = run.instr.arg[1], op.stride = run.instr.arg[2];
      }
      out.operations.push_back(op);
    }
  }
  return out;
}

namespace {

// Checks programs on chip, each once, and keeps what they do on links.
class Checker {
 public:
  Checker(const ChipTiming& timing, CheckCache* checks)
      : own_(timing), cache_(checks == nullptr ? own_ : *checks) {}

  absl::StatusOr<std::shared_ptr<const ChipOperations>> Check(
      uint32_t chip, const std::shared_ptr<const Schedule>& schedule, int64_t sram_bytes) {
    std::shared_ptr<const ChipOperations>& ops = known_[{schedule.get(), sram_bytes}];
    if (ops != nullptr) return ops;
    const std::shared_ptr<const Verdict> verdict = cache_.Check(schedule, empty_);
    if (verdict->fault) {
      return absl::InvalidArgumentError(verdict->fault->ToFault(*schedule, chip).ToString());
    }
    ChipOperations made = LinkOperationsOf(*schedule, *verdict->program);
    made.sram_bytes = sram_bytes;
    return ops = std::make_shared<const ChipOperations>(std::move(made));
  }

 private:
  CheckCache own_;
  CheckCache& cache_;
  const std::shared_ptr<const MxmState> empty_ = std::make_shared<const MxmState>();
  std::map<std::pair<const Schedule*, int64_t>, std::shared_ptr<const ChipOperations>> known_;
};

class LockedCheckCache : public CheckCache {
 public:
  using CheckCache::CheckCache;
  std::shared_ptr<const Verdict> Check(const std::shared_ptr<const Schedule>& schedule,
                                       const std::shared_ptr<const MxmState>& before) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return CheckCache::Check(schedule, before);
  }

 private:
  std::mutex mutex_;
};

absl::Status CheckGaps(size_t chip, const Launches& launches, const ChipTiming& timing) {
  for (size_t i = 1; i < launches.size(); ++i) {
    const int64_t free =
        launches[i - 1].start + launches[i - 1].schedule->end + DrainCycles(timing);
    if (launches[i].start >= free) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("chip", chip, ": program ", i, " starts in cycle ", launches[i].start,
                     ", results of the one before move until cycle ", free));
  }
  return absl::OkStatus();
}

}  // namespace

std::shared_ptr<CheckCache> MakeSharedChecks(const ChipTiming& timing) {
  return std::make_shared<LockedCheckCache>(timing);
}

int64_t DrainCycles(const ChipTiming& timing) {
  const int longest = *std::max_element(timing.d_func.begin(), timing.d_func.end());
  return longest + timing.receive_turnaround + timing.mxm_array + kPositions +
         (timing.link_ticks + kTicksPerCycle - 1) / kTicksPerCycle;
}

absl::StatusOr<FabricSchedule> VerifyLaunches(absl::Span<const Launches> chips,
                                              absl::Span<const int64_t> sram_bytes,
                                              const Wiring& wiring, const ChipTiming& timing,
                                              CheckCache* checks) {
  if (chips.size() != wiring.chips() || sram_bytes.size() != chips.size()) {
    return absl::InvalidArgumentError(absl::StrCat(chips.size(), " programs and ",
                                                   sram_bytes.size(), " SRAM budgets for ",
                                                   wiring.chips(), " chips"));
  }
  if (timing.link_ticks != wiring.vector_ticks()) {
    return absl::InvalidArgumentError(absl::StrCat("programs are timed for ", timing.link_ticks,
                                                   " ticks a vector, the links take ",
                                                   wiring.vector_ticks()));
  }
  Checker checker(timing, checks);
  std::vector<ChipPrograms> programs(chips.size());
  for (size_t c = 0; c < chips.size(); ++c) {
    for (const Launch& launch : chips[c]) {
      ASSIGN_OR_RETURN(std::shared_ptr<const ChipOperations> operations,
                       checker.Check(static_cast<uint32_t>(c), launch.schedule, sram_bytes[c]));
      programs[c].push_back({std::move(operations), launch.start});
    }
    RETURN_IF_ERROR(CheckGaps(c, chips[c], timing));
  }
  return FabricSchedule::Create(wiring, timing.receive_fifo, programs);
}

absl::StatusOr<FabricSchedule> VerifyNode(
    absl::Span<const std::shared_ptr<const Schedule>> schedules,
    absl::Span<const int64_t> sram_bytes, const Wiring& wiring, const ChipTiming& timing) {
  std::vector<Launches> launches;
  for (const auto& schedule : schedules) launches.push_back({{schedule, 0}});
  return VerifyLaunches(launches, sram_bytes, wiring, timing);
}

}  // namespace lockstep
