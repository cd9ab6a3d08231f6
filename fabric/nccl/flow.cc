// The event loop (fabric/nccl/flow.h).
#include "fabric/nccl/flow.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "chip/check.h"

namespace lockstep::nccl {
namespace {

int64_t WirePs(int64_t bytes, int64_t mb_per_s) { return bytes * 1'000'000 / mb_per_s; }

}  // namespace

Flow::Flow(int gpus, int64_t launch_ps, int64_t wire_ps, int64_t port_mb_per_s,
           int64_t multicast_mb_per_s)
    : launch_ps_(launch_ps), wire_ps_(wire_ps), port_mb_per_s_(port_mb_per_s),
      multicast_mb_per_s_(multicast_mb_per_s), sets_(1), kernels_(gpus), running_(gpus, 0),
      left_(gpus, 0), ended_(gpus), launched_(gpus), out_free_(gpus, 0),
      in_free_(gpus, 0) {}

int Flow::AddBlock(int gpu) {
  const int id = static_cast<int>(blocks_.size());
  blocks_.push_back({gpu, {}, 0, -1});
  kernels_[gpu].push_back(id);
  return id;
}

int Flow::AddConnection(int slots) {
  LOCKSTEP_CHECK(slots >= 1, "%d slots", slots);
  connections_.push_back({slots, std::vector<Slot>(slots), std::vector<Slot>(slots)});
  return static_cast<int>(connections_.size()) - 1;
}

int Flow::AddSet(const std::vector<int>& connections) {
  if (connections.empty()) return 0;
  sets_.push_back(connections);
  return static_cast<int>(sets_.size()) - 1;
}

int64_t Flow::units() const {
  int64_t sum = 0;
  for (const Block& b : blocks_) sum += static_cast<int64_t>(b.units.size());
  return sum;
}

void Flow::Push(int64_t at, int block) {
  events_.push_back({at, block});
  std::push_heap(events_.begin(), events_.end(), std::greater<>());
}

// When the block's next unit can begin as far as is known; a block that must wait for another one
// is noted with the connection and woken by it.
Flow::Start Flow::Earliest(int id, int64_t now) {
  const Block& block = blocks_[id];
  const Unit& unit = block.units[block.next];
  const bool first = block.next == 0;
  Start start{true, now, first ? launched_[block.gpu].record : block.record,
              first ? Cause::kLaunch : Cause::kSelf};
  int64_t latest = first ? launched_[block.gpu].at : records_[block.record].end;
  const auto wait = [&](const Slot& slot, Cause cause) {
    if (slot.at <= latest) return;
    latest = slot.at;
    start.before = slot.record, start.cause = cause;
  };
  for (int c : sets_[unit.inputs]) {
    Connection& in = connections_[c];
    if (in.posts == in.takes) {
      in.receiver = id;
      return {false, 0, -1, Cause::kSelf};
    }
    wait(in.posted[in.takes % in.slots], Cause::kWire);
  }
  for (int c : sets_[unit.outputs]) {
    Connection& out = connections_[c];
    if (out.posts - out.takes == out.slots) {
      out.sender = id;
      return {false, 0, -1, Cause::kSelf};
    }
    if (out.posts >= out.slots) wait(out.freed[out.posts % out.slots], Cause::kCredit);
  }
  start.at = std::max(now, latest);
  return start;
}

// Takes the ports for the unit's bytes; returns when the last one has passed.
int64_t Flow::Occupy(const Block& block, const Unit& unit, int64_t now) {
  if (unit.port_bytes == 0) return now;
  if (unit.to != kAll) {
    const int64_t ps = WirePs(unit.port_bytes, port_mb_per_s_);
    int64_t& out = out_free_[block.gpu];
    int64_t& in = in_free_[unit.to];
    out = std::max(out, now) + ps;
    in = std::max(in, now) + ps;
    return std::max(out, in);
  }
  // Parts of all GPUs come in once added and go out to all: n ports carry the bytes, the block's own
  // carries them twice.
  int64_t end = now;
  const int64_t ps = WirePs(unit.port_bytes, multicast_mb_per_s_);
  for (size_t gpu = 0; gpu < in_free_.size(); ++gpu) {
    const bool own = static_cast<int>(gpu) == block.gpu;
    in_free_[gpu] = std::max(in_free_[gpu], now) + (own ? 2 : 1) * ps;
    end = std::max(end, in_free_[gpu]);
  }
  return end;
}

void Flow::Execute(int id, int64_t now, const Start& start) {
  Block& block = blocks_[id];
  const Unit unit = block.units[block.next];
  const int64_t end = std::max(now + unit.fixed_ps + unit.copy_ps, Occupy(block, unit, now));
  const int record = static_cast<int>(records_.size());
  records_.push_back({now, end, unit.fixed_ps, unit.copy_ps, start.before, start.cause});
  block.record = record;
  for (int c : sets_[unit.inputs]) {
    Connection& in = connections_[c];
    in.freed[in.takes++ % in.slots] = {end + wire_ps_, record};
    if (in.sender >= 0) Push(now, std::exchange(in.sender, -1));
  }
  for (int c : sets_[unit.outputs]) {
    Connection& out = connections_[c];
    out.posted[out.posts++ % out.slots] = {end + wire_ps_, record};
    if (out.receiver >= 0) Push(end + wire_ps_, std::exchange(out.receiver, -1));
  }
  if (++block.next < block.units.size()) {
    Push(end, id);
  } else {
    EndKernel(block.gpu, record, end);
  }
}

void Flow::EndKernel(int gpu, int record, int64_t end) {
  if (end >= ended_[gpu].at) ended_[gpu] = {end, record};
  if (--running_[gpu] > 0 || --left_[gpu] == 0) return;
  launched_[gpu] = {ended_[gpu].at + launch_ps_, ended_[gpu].record};
  for (int id : kernels_[gpu]) {
    blocks_[id].next = 0;
    if (blocks_[id].units.empty()) continue;
    ++running_[gpu];
    Push(launched_[gpu].at, id);
  }
}

FlowResult Flow::Run(int launches) {
  for (size_t gpu = 0; gpu < kernels_.size(); ++gpu) {
    left_[gpu] = launches + 1;
    running_[gpu] = 1;
    EndKernel(static_cast<int>(gpu), -1, 0);
  }
  FlowResult result;
  while (!events_.empty()) {
    std::pop_heap(events_.begin(), events_.end(), std::greater<>());
    const Event event = events_.back();
    events_.pop_back();
    const Start start = Earliest(event.block, event.at);
    if (!start.possible) continue;
    if (start.at > event.at) {
      Push(start.at, event.block);
    } else {
      Execute(event.block, event.at, start);
    }
  }
  int64_t sum = 0;
  int last = -1;
  for (size_t gpu = 0; gpu < kernels_.size(); ++gpu) {
    LOCKSTEP_CHECK(left_[gpu] == 0 || kernels_[gpu].empty(), "GPU %d starves", gpu);
    sum += ended_[gpu].at;
    if (last < 0 || ended_[gpu].at > ended_[last].at) last = static_cast<int>(gpu);
  }
  result.period_ps = sum / static_cast<int64_t>(kernels_.size()) / launches;
  result.events = static_cast<int64_t>(records_.size());
  result.critical = Trace(ended_[last].record);
  for (int64_t* part : {&result.critical.launch, &result.critical.fixed, &result.critical.copy,
                        &result.critical.port, &result.critical.wire, &result.critical.credit}) {
    *part /= launches;
  }
  return result;
}

Breakdown Flow::Trace(int record) const {
  Breakdown b;
  while (record >= 0) {
    const Record& r = records_[record];
    b.fixed += r.fixed;
    b.copy += r.copy;
    b.port += r.end - r.begin - r.fixed - r.copy;
    const int64_t waited = r.begin - (r.before >= 0 ? records_[r.before].end : 0);
    if (r.cause == Cause::kLaunch) b.launch += waited;
    if (r.cause == Cause::kWire) b.wire += waited;
    if (r.cause == Cause::kCredit) b.credit += waited;
    if (r.cause == Cause::kSelf) b.port += waited;
    record = r.before;
  }
  return b;
}

}  // namespace lockstep::nccl
