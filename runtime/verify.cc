// Verification of a node's programs (runtime/verify.h).
#include "runtime/verify.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chip/check.h"

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

absl::StatusOr<FabricSchedule> VerifyNode(
    absl::Span<const std::shared_ptr<const Schedule>> schedules,
    absl::Span<const int64_t> sram_bytes, const Wiring& wiring, const ChipTiming& timing) {
  if (schedules.size() != wiring.chips() || sram_bytes.size() != schedules.size()) {
    return absl::InvalidArgumentError(absl::StrCat(schedules.size(), " programs and ",
                                                   sram_bytes.size(), " SRAM budgets for ",
                                                   wiring.chips(), " chips"));
  }
  if (timing.link_ticks != wiring.vector_ticks()) {
    return absl::InvalidArgumentError(absl::StrCat("programs are timed for ", timing.link_ticks,
                                                   " ticks a vector, the links take ",
                                                   wiring.vector_ticks()));
  }
  CheckCache cache(timing);
  const auto empty = std::make_shared<const MxmState>();
  std::map<std::pair<const Schedule*, int64_t>, std::shared_ptr<const ChipOperations>> known;
  std::vector<std::shared_ptr<const ChipOperations>> chips;
  for (size_t c = 0; c < schedules.size(); ++c) {
    std::shared_ptr<const ChipOperations>& ops = known[{schedules[c].get(), sram_bytes[c]}];
    if (ops == nullptr) {
      const std::shared_ptr<const Verdict> verdict = cache.Check(schedules[c], empty);
      if (verdict->fault) {
        return absl::InvalidArgumentError(
            verdict->fault->ToFault(*schedules[c], static_cast<uint32_t>(c)).ToString());
      }
      ChipOperations made = LinkOperationsOf(*schedules[c], *verdict->program);
      made.sram_bytes = sram_bytes[c];
      ops = std::make_shared<const ChipOperations>(std::move(made));
    }
    chips.push_back(ops);
  }
  return FabricSchedule::Create(wiring, timing.receive_fifo, chips);
}

}  // namespace lockstep
