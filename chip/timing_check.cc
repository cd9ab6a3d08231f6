// Expands runs into what they use and lets each resource check itself (chip/timing_check.h).
#include "chip/timing_check.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "chip/digest.h"
#include "chip/link_serialiser.h"
#include "chip/timing_sram.h"
#include "chip/timing_streams.h"

namespace lockstep {
namespace {

class Expander {
 public:
  Expander(const Schedule& schedule, const ChipTiming& timing)
      : schedule_(schedule), timing_(timing), faults_(schedule) {
    for (int q = 0; q < kQueues; ++q) queues_[q] = Queue(q);
    check_.schedule_hash = ScheduleHash(schedule);
    check_.ages.assign(schedule.runs.size(), 0);
  }

  ProgramCheck Check() {
    for (size_t i = 0; i < schedule_.runs.size(); ++i) {
      AddRun(schedule_.runs[i], static_cast<int32_t>(i));
    }
    sram_.Check(schedule_, faults_);
    streams_->Check(schedule_, faults_, check_.ages);
    CheckResults(schedule_, check_.mxm, timing_, faults_);
    check_.fault = faults_.found();
    return std::move(check_);
  }

 private:
  int64_t Latency(Opcode op) const { return timing_.d_func[static_cast<int>(op)]; }

  void AddRun(const Run& run, int32_t id) {
    AddStreams(run, id);
    const OpInfo& info = Info(run.instr.op);
    if (!info.unit) return;
    switch (*info.unit) {
      case Unit::kMem:
        sram_.Add(run, id, 0);
        break;
      case Unit::kVxm:
        AddVxm(run, id);
        break;
      case Unit::kMxm:
        check_.mxm[run.queue - kMxmQueue0].push_back(id);
        if (run.instr.op == Opcode::kAcc) check_.ages[id] += int64_t{run.count} * timing_.mxm_array;
        break;
      case Unit::kSxm:
        AddSxm(run, id);
        break;
      case Unit::kC2c:
        AddLink(run, id);
        break;
    }
  }

  void AddStreams(const Run& run, int32_t id) {
    const OpInfo& info = Info(run.instr.op);
    const int position = queues_[run.queue].position;
    for (int k = 0; k < info.operand_count; ++k) {
      const OperandKind kind = info.operands[k].kind;
      if (kind < OperandKind::kStreamIn || kind > OperandKind::kStreamOutOrNone) continue;
      const bool reads =
          kind == OperandKind::kStreamIn || kind == OperandKind::kStreamInOrImmediate;
      int count = StreamCount(run.instr, k);
      if (run.instr.op == Opcode::kRotate && !reads) count = run.instr.arg[0] * run.instr.arg[0];
      for (int s = run.instr.arg[k]; count > 0; --count, ++s) {
        if (!reads) {
          streams_->AddWrite(run, id, s, position, Latency(run.instr.op));
          continue;
        }
        streams_->AddRead(run, id, s, position, 0);
        if (run.instr.op == Opcode::kIfetch) streams_->AddRead(run, id, s, position, 1);
      }
    }
  }

  void AddVxm(const Run& run, int32_t id) {
    const Opcode op = run.instr.op;
    const bool is_float = run.instr.arg[0] == kTypeF16 || run.instr.arg[0] == kTypeF32;
    if ((op == Opcode::kExp || op == Opcode::kTanh || op == Opcode::kRsqrt) && !is_float) {
      faults_.Offer(FaultKind::kBadInstruction, id, 0, "of floating-point types only");
    }
    const OperandInfo& second = Info(op).operands[1];
    if (second.name == "saturate" && run.instr.arg[1] != 0 && is_float) {
      faults_.Offer(FaultKind::kBadInstruction, id, 0, "floating-point types do not saturate");
    }
  }

  void AddSxm(const Run& run, int32_t id) {
    const Opcode op = run.instr.op;
    if (op == Opcode::kRotate || op == Opcode::kTranspose || run.instr.arg[0] != 3) return;
    faults_.Offer(FaultKind::kBadInstruction, id, 0, "width 3");
  }

  void AddLink(const Run& run, int32_t id) {
    const int link = queues_[run.queue].instance;
    LinkRun op{id, -1};
    if (run.instr.op == Opcode::kReceive) {
      op.receive = check_.receives++;
      check_.vectors_received[link] += run.count;
      sram_.Add(run, id, Latency(run.instr.op) + timing_.receive_turnaround);
    } else {
      CheckSlots(run, id, link);
    }
    check_.links[link].push_back(op);
  }

  void CheckSlots(const Run& run, int32_t id, int link) {
    LinkSerialiser& serialiser = serialisers_[link];
    const int64_t i = serialiser.SendAll({run.first, run.period, run.count}, timing_.link_ticks);
    if (i >= 0) {
      faults_.Offer(FaultKind::kLinkSlot, id, i,
                    absl::StrCat("link ", link, " is free from cycle ", serialiser.NextCycle()));
    }
  }

  const Schedule& schedule_;
  const ChipTiming& timing_;
  std::array<QueueInfo, kQueues> queues_;
  std::array<LinkSerialiser, kC2cLinks> serialisers_;
  SramCheck sram_;
  std::unique_ptr<StreamCheck> streams_ = std::make_unique<StreamCheck>();
  EarliestFault faults_;
  ProgramCheck check_;
};

}  // namespace

ProgramCheck CheckProgram(const Schedule& schedule, const ChipTiming& timing) {
  return Expander(schedule, timing).Check();
}

CheckCache::Entry* CheckCache::Known(const std::shared_ptr<const Schedule>& schedule) {
  for (Entry& entry : entries_) {
    if (entry.schedule == schedule) return &entry;
  }
  return nullptr;
}

void CheckCache::Remember(const std::shared_ptr<const Schedule>& schedule,
                          std::shared_ptr<const ProgramCheck> program) {
  if (Known(schedule) == nullptr) entries_.push_back({schedule, std::move(program), {}});
}

CheckCache::Entry& CheckCache::Find(const std::shared_ptr<const Schedule>& schedule) {
  if (Entry* entry = Known(schedule)) return *entry;
  entries_.erase(std::remove_if(entries_.begin(), entries_.end(),
                                [](const Entry& e) { return e.schedule.use_count() == 1; }),
                 entries_.end());
  entries_.push_back(
      {schedule, std::make_shared<const ProgramCheck>(CheckProgram(*schedule, timing_)), {}});
  return entries_.back();
}

std::shared_ptr<const Verdict> CheckCache::Check(const std::shared_ptr<const Schedule>& schedule,
                                                 const std::shared_ptr<const MxmState>& before) {
  Entry& entry = Find(schedule);
  for (const Seen& known : entry.known) {
    if (known.before == before || *known.before == *before) return known.verdict;
  }
  auto after = std::make_shared<MxmState>(*before);
  EarliestFault mxm(*schedule);
  CheckMxm(*schedule, entry.program->mxm, timing_, *after, mxm);
  auto verdict = std::make_shared<Verdict>();
  verdict->program = entry.program;
  verdict->fault = mxm.found();
  const std::optional<FoundFault>& other = entry.program->fault;
  if (other && (!verdict->fault || other->place < verdict->fault->place)) verdict->fault = other;
  // One object a state, so that the state that repeats is found by address.
  if (*after == *before) {
    verdict->after = before;
  } else {
    verdict->after = std::move(after);
  }
  entry.known.push_back({before, verdict});
  return verdict;
}

}  // namespace lockstep
