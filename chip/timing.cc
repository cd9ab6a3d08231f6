// The walk over one chip's link operations (chip/timing.h).
#include "chip/timing.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {

TimingEngine::TimingEngine(uint32_t chip, std::shared_ptr<CheckCache> cache, Observer* observer)
    : chip_(chip), cache_(std::move(cache)), observer_(observer),
      mxm_(std::make_shared<const MxmState>()) {}

TimingEngine::TimingEngine(uint32_t chip, const ChipTiming& timing, Observer* observer)
    : TimingEngine(chip, std::make_shared<CheckCache>(timing), observer) {}

void TimingEngine::Start(std::shared_ptr<const Schedule> schedule) {
  LOCKSTEP_CHECK(state_ == EngineState::kDone, "chip%d: the run before is not done", chip_);
  schedule_ = std::move(schedule);
  verdict_ = cache_->Check(schedule_, mxm_);
  const ProgramCheck& program = *verdict_->program;
  receive_ages_.assign(program.receives, 0);
  const size_t fifo = std::max(cache_->timing().receive_fifo, 0);
  for (int link = 0; link < kC2cLinks; ++link) {
    Cursor& c = cursors_[link];
    c.at = c.iteration = 0;
    c.received = 0;
    c.serialiser = {};
    const std::vector<LinkRun>& runs = program.links[link];
    c.next = runs.empty() ? kNoCycle : schedule_->runs[runs[0].run].first;
    // A FIFO deeper than all that is received cannot overflow.
    const bool deep = fifo >= static_cast<size_t>(program.vectors_received[link]);
    c.freed.assign(deep ? 0 : fifo, 0);
  }
  state_ = EngineState::kBlocked;
  blocked_link_ = -1;
}

int TimingEngine::NextLink() const {
  int next = 0;
  for (int link = 1; link < kC2cLinks; ++link) {
    if (cursors_[link].next < cursors_[next].next) next = link;
  }
  return next;
}

void TimingEngine::Advance(int link) {
  Cursor& c = cursors_[link];
  const std::vector<LinkRun>& runs = verdict_->program->links[link];
  const lockstep::Run& run = schedule_->runs[runs[c.at].run];
  if (++c.iteration < run.count) {
    c.next += run.period;
    return;
  }
  c.iteration = 0;
  const bool more = ++c.at < static_cast<int32_t>(runs.size());
  c.next = more ? schedule_->runs[runs[c.at].run].first : kNoCycle;
}

EngineState TimingEngine::Run(LinkPort& port) {
  if (state_ != EngineState::kBlocked) return state_;
  while (true) {
    const int link = NextLink();
    if (cursors_[link].next == kNoCycle) break;
    if (const std::optional<EngineState> stop = Step(port, link)) return state_ = *stop;
  }
  return state_ = verdict_->fault ? FailOnChip() : Finish(port);
}

std::optional<EngineState> TimingEngine::Step(LinkPort& port, int link) {
  Cursor& c = cursors_[link];
  const lockstep::Run& run = schedule_->runs[verdict_->program->links[link][c.at].run];
  const std::optional<FoundFault>& on_chip = verdict_->fault;
  DispatchPlace place{c.next, run.queue, Phase::kDispatch, run.index, FaultRank(FaultKind::kLinkAbsent)};
  if (on_chip && on_chip->place < place) return FailOnChip();
  if (!port.IsCabled(link)) {
    return FailAt(FaultKind::kLinkAbsent, link, c.next, absl::StrCat("link ", link, " has no cable"));
  }
  place.rank = INT32_MAX;
  const int64_t ticks = cache_->timing().link_ticks;
  if (on_chip && on_chip->place < place) return FailOnChip();
  switch (run.instr.op) {
    // Slots are checked on chip: a send that is reached here is taken.
    case Opcode::kSend: port.Send(link, c.serialiser.Send(c.next, ticks), nullptr); break;
    case Opcode::kTransmit: port.Transmit(link, c.serialiser.Send(c.next, ticks)); break;
    default:
      if (const std::optional<EngineState> stop = Receive(port, link)) return stop;
  }
  Advance(link);
  return std::nullopt;
}

std::optional<EngineState> TimingEngine::Receive(LinkPort& port, int link) {
  Cursor& c = cursors_[link];
  LinkPort::Arrival arrival;
  const Poll poll = port.Peek(link, &arrival);
  if (poll == Poll::kPending) {
    blocked_link_ = link;
    return EngineState::kBlocked;
  }
  if (poll == Poll::kNever) {
    return FailAt(FaultKind::kReceiveEmpty, link, c.next, "nothing more comes on this link");
  }
  if (arrival.cycle > c.next) {
    return FailAt(FaultKind::kReceiveEmpty, link, c.next,
                  absl::StrCat("the next vector arrives @", arrival.cycle));
  }
  if (const std::optional<EngineState> stop = CheckOverflow(link, arrival.cycle)) return stop;
  receive_ages_[verdict_->program->links[link][c.at].receive] += c.next - arrival.cycle;
  port.Pop(link);
  return std::nullopt;
}

std::optional<EngineState> TimingEngine::CheckOverflow(int link, int64_t arrival) {
  Cursor& c = cursors_[link];
  const int64_t fifo = cache_->timing().receive_fifo;
  bool overflow = fifo <= 0;
  if (!c.freed.empty()) {
    // The place this vector takes was freed by the receive that stands `fifo` before its own.
    int64_t& freed = c.freed[c.received % fifo];
    overflow = c.received >= fifo && freed > arrival;
    freed = c.next;
  }
  ++c.received;
  if (!overflow) return std::nullopt;
  return FailAt(FaultKind::kFifoOverflow, link, arrival,
                absl::StrCat(fifo, " vectors of link ", link, " still wait"));
}

EngineState TimingEngine::Finish(LinkPort& port) {
  for (int link = 0; link < kC2cLinks; ++link) {
    LinkPort::Arrival arrival;
    if (!port.IsCabled(link) || port.Peek(link, &arrival) != Poll::kReady) continue;
    fault_ = Fault{FaultKind::kReceiveMissing, chip_, C2cQueue(link), schedule_->end, {},
                   absl::StrCat("a vector arrives @", arrival.cycle)};
    return EngineState::kFault;
  }
  const ProgramCheck& program = *verdict_->program;
  int32_t receive = 0;
  std::vector<int64_t> with_receives;
  if (program.receives > 0) with_receives = program.ages;
  for (size_t i = 0; i < with_receives.size(); ++i) {
    if (schedule_->runs[i].instr.op == Opcode::kReceive) {
      with_receives[i] += receive_ages_[receive++];
    }
  }
  const std::vector<int64_t>& ages = program.receives > 0 ? with_receives : program.ages;
  digest_.Add(program.schedule_hash, ages);
  for (size_t i = 0; observer_ != nullptr && i < schedule_->runs.size(); ++i) {
    const lockstep::Run& run = schedule_->runs[i];
    observer_->OnRun(chip_, {static_cast<int32_t>(i), run.queue, run.instr.op, run.first,
                             run.last(), run.count, ages[i]});
  }
  mxm_ = verdict_->after;
  return EngineState::kDone;
}

EngineState TimingEngine::FailAt(FaultKind kind, int link, int64_t cycle, std::string detail) {
  const Cursor& c = cursors_[link];
  const lockstep::Run& run = schedule_->runs[verdict_->program->links[link][c.at].run];
  fault_ = Fault{kind, chip_, run.queue, cycle, InstructionAt(run, c.iteration),
                 std::move(detail)};
  return EngineState::kFault;
}

EngineState TimingEngine::FailOnChip() {
  fault_ = verdict_->fault->ToFault(*schedule_, chip_);
  return EngineState::kFault;
}

int TimingEngine::blocked_link() const {
  LOCKSTEP_CHECK(state_ == EngineState::kBlocked && blocked_link_ >= 0, "chip%d is not blocked",
                 chip_);
  return blocked_link_;
}

const Fault& TimingEngine::fault() const {
  LOCKSTEP_CHECK(fault_.has_value(), "chip%d has no fault", chip_);
  return *fault_;
}

uint64_t TimingEngine::timing_digest() const { return digest_.value(); }

int64_t TimingEngine::cycle() const {
  if (schedule_ == nullptr) return 0;
  const int64_t next = cursors_[NextLink()].next;
  return next == kNoCycle ? schedule_->end : next;
}

}  // namespace lockstep
