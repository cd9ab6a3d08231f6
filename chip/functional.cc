// The functional engine's loop (chip/functional.h).
#include "chip/functional.h"

#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {

std::array<int8_t, kQueues> Positions() {
  std::array<int8_t, kQueues> out{};
  for (int q = 0; q < kQueues; ++q) out[q] = static_cast<int8_t>(Queue(q).position);
  return out;
}

}  // namespace

FunctionalEngine::FunctionalEngine(uint32_t chip, const ChipTiming& timing, Observer* observer,
                                   Sram::Pages pages)
    : core_(chip, timing, pages), mxm_(core_), mem_(core_, mxm_), vxm_(core_), sxm_(core_),
      c2c_(core_, mem_), fetch_(core_), observer_(observer) {
  core_.sram.set_listener(&mem_);
}

void FunctionalEngine::Start(std::shared_ptr<const Schedule> schedule) {
  for (const std::shared_ptr<const PreparedProgram>& known : remembered_) {
    if (known->shared_schedule() == schedule) return StartPrepared(known);
  }
  if (remembered_.size() == kRemembered) remembered_.erase(remembered_.begin());
  remembered_.push_back(std::make_shared<const PreparedProgram>(std::move(schedule)));
  StartPrepared(remembered_.back());
}

void FunctionalEngine::StartPrepared(std::shared_ptr<const PreparedProgram> program) {
  LOCKSTEP_CHECK(!running_, "chip%d: the run before has not ended", core_.chip);
  program_ = std::move(program);
  done_.assign(program_->schedule().runs.size(), 0);
  ages_.assign(program_->schedule().runs.size(), 0);
  next_ = 0;
  running_ = true;
  core_.Restart();
  mem_.Restart();
  mxm_.Restart();
  c2c_.Restart();
  fetch_.Restart(program_->schedule());
}

const Fault& FunctionalEngine::fault() const {
  LOCKSTEP_CHECK(core_.fault.has_value(), "chip%d has no fault", core_.chip);
  return *core_.fault;
}

EngineState FunctionalEngine::Run(LinkPort& port) {
  LOCKSTEP_CHECK(running_, "chip%d: nothing was started", core_.chip);
  static const std::array<int8_t, kQueues> positions = Positions();
  const std::vector<uint32_t>& order = program_->order();
  const std::vector<lockstep::Run>& runs = program_->schedule().runs;
  const size_t size = order.size();
  // A dispatch's run is most often new to the cache; ask for it ahead.
  constexpr size_t kAhead = 8;
  for (; next_ < size; ++next_) {
    if (next_ + kAhead < size) {
      const uint32_t ahead = order[next_ + kAhead];
      __builtin_prefetch(&runs[ahead]);
      __builtin_prefetch(&done_[ahead], 1);
      __builtin_prefetch(&ages_[ahead], 1);
    }
    const uint32_t index = order[next_];
    const lockstep::Run& run = runs[index];
    int64_t& done = done_[index];
    const Dispatched d = {run, done, run.cycle(done), positions[run.queue], ages_[index]};
    if (d.cycle >= NextDelayed() && !ActUntil(d.cycle, run.queue)) {
      running_ = false;
      return EngineState::kFault;
    }
    const Outcome outcome = Execute(d, port);
    if (outcome != Outcome::kGoOn) [[unlikely]] {
      running_ = outcome == Outcome::kBlocked;
      return running_ ? EngineState::kBlocked : EngineState::kFault;
    }
    ++done;
  }
  return Finish(port);
}

bool FunctionalEngine::ActUntil(int64_t cycle, int queue) {
  while (true) {
    const int64_t next = NextDelayed();
    if (next > cycle || next == C2cUnit::kNoCycle) return true;
    const bool both = c2c_.next_store() == fetch_.next();
    const bool store = both ? c2c_.next_store_queue() <= fetch_.next_queue()
                            : c2c_.next_store() < fetch_.next();
    if (next == cycle && (store ? c2c_.next_store_queue() : fetch_.next_queue()) > queue) {
      return true;
    }
    if (!(store ? c2c_.StoreNext() : fetch_.FetchNext())) return false;
  }
}

EngineState FunctionalEngine::Finish(LinkPort& port) {
  running_ = false;
  const Schedule& schedule = program_->schedule();
  if (!ActUntil(INT64_MAX, kQueues)) return EngineState::kFault;
  if (!c2c_.CheckAllReceived(port, schedule.end)) return EngineState::kFault;
  digest_->Add(program_->schedule_hash(), ages_);
  for (size_t r = 0; observer_ != nullptr && r < schedule.runs.size(); ++r) {
    const lockstep::Run& run = schedule.runs[r];
    observer_->OnRun(core_.chip, {static_cast<int32_t>(r), run.queue, run.instr.op, run.first,
                                  run.last(), run.count, ages_[r]});
  }
  return EngineState::kDone;
}

bool FunctionalEngine::Counter(const Dispatched& d) {
  const int64_t drift = d.run.instr.op == Opcode::kSac ? drift_cycles_ : 0;
  const int64_t count = (hac_at_start_ + drift + d.cycle) % kHacPeriod;
  uint8_t* out = core_.NewGroup(d, 1);
  std::memset(out, static_cast<int>(count < 0 ? count + kHacPeriod : count), kLanes);
  return core_.Emit(d, d.arg(0), 1, out);
}

FunctionalEngine::Outcome FunctionalEngine::Execute(const Dispatched& d, LinkPort& port) {
  bool ok = true;
  switch (d.run.instr.op) {
    case Opcode::kRead: ok = mem_.Read(d); break;
    case Opcode::kWrite: ok = mem_.Write(d); break;
    case Opcode::kGather: ok = mem_.Gather(d); break;
    case Opcode::kScatter: ok = mem_.Scatter(d); break;
    case Opcode::kAdd: case Opcode::kSub: case Opcode::kMul: case Opcode::kMax: case Opcode::kMin:
    case Opcode::kCmpEq: case Opcode::kCmpGt: case Opcode::kCmpGe: case Opcode::kMask:
    case Opcode::kAnd: case Opcode::kOr: case Opcode::kXor: ok = vxm_.Binary(d); break;
    case Opcode::kNegate: case Opcode::kAbs: case Opcode::kRelu: case Opcode::kTanh:
    case Opcode::kExp: case Opcode::kRsqrt: ok = vxm_.Unary(d); break;
    case Opcode::kConvert: ok = vxm_.Convert(d); break;
    case Opcode::kLw: ok = mxm_.Lw(d); break;
    case Opcode::kIw: ok = mxm_.Iw(d); break;
    case Opcode::kAbcLoad: ok = mxm_.AbcLoad(d); break;
    case Opcode::kAbcFeed: ok = mxm_.AbcFeed(d); break;
    case Opcode::kAbcStream: ok = mxm_.AbcStream(d); break;
    case Opcode::kAcc: ok = mxm_.Acc(d); break;
    case Opcode::kShift: ok = sxm_.Shift(d); break;
    case Opcode::kSelect: ok = sxm_.Select(d); break;
    case Opcode::kPermute: ok = sxm_.Permute(d); break;
    case Opcode::kDistribute: ok = sxm_.Distribute(d); break;
    case Opcode::kRotate: ok = sxm_.Rotate(d); break;
    case Opcode::kTranspose: ok = sxm_.Transpose(d); break;
    default: return ExecuteOther(d, port);
  }
  return ok ? Outcome::kGoOn : Outcome::kFault;
}

FunctionalEngine::Outcome FunctionalEngine::ExecuteOther(const Dispatched& d, LinkPort& port) {
  bool ok = true;
  switch (d.run.instr.op) {
    case Opcode::kSend: ok = c2c_.Send(d, port); break;
    case Opcode::kTransmit: ok = c2c_.Transmit(d, port); break;
    case Opcode::kReceive: {
      const Receipt receipt = c2c_.Receive(d, port);
      if (receipt == Receipt::kBlocked) {
        blocked_link_ = d.queue() - kC2cQueue0;
        return Outcome::kBlocked;
      }
      ok = receipt == Receipt::kTaken;
      break;
    }
    case Opcode::kHac: case Opcode::kSac: ok = Counter(d); break;
    case Opcode::kConfig: ok = mem_.Config(d); break;
    case Opcode::kNotify: break;  // its effect is in the schedule
    case Opcode::kIfetch: ok = fetch_.Fetch(d); break;
    default:
      LOCKSTEP_FAIL("%s is no dispatch", Info(d.run.instr.op).name);
  }
  return ok ? Outcome::kGoOn : Outcome::kFault;
}

}  // namespace lockstep
