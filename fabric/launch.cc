// Cycles of a launch to cycles of the run and back (fabric/launch.h).
#include "fabric/launch.h"

#include "chip/latency.h"
#include "chip/queue.h"

namespace lockstep {

namespace {
LinkCounts Count(const Schedule& schedule, Opcode op) {
  LinkCounts counts{};
  for (const Run& run : schedule.runs) {
    if (run.instr.op == op) counts[run.queue - kC2cQueue0] += run.count;
  }
  return counts;
}
}  // namespace

LinkCounts ReceivesOf(const Schedule& schedule) { return Count(schedule, Opcode::kReceive); }
LinkCounts SendsOf(const Schedule& schedule) { return Count(schedule, Opcode::kSend); }

void LaunchPort::Send(int link, int64_t start_ticks, const Vector* payload) {
  port_.Send(link, start_ * kTicksPerCycle + start_ticks, payload);
}

void LaunchPort::Transmit(int link, int64_t start_ticks) {
  port_.Transmit(link, start_ * kTicksPerCycle + start_ticks);
}

Poll LaunchPort::Peek(int link, Arrival* out) {
  if (left_ != nullptr && (*left_)[link] == 0) return Poll::kNever;
  const Poll poll = port_.Peek(link, out);
  if (poll == Poll::kReady) out->cycle -= start_;
  return poll;
}

void LaunchPort::Pop(int link) {
  if (left_ != nullptr) --(*left_)[link];
  port_.Pop(link);
}

}  // namespace lockstep
