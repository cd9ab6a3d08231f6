// Loops, chunks and units (fabric/nccl/chunks.h).
#include "fabric/nccl/chunks.h"

#include <algorithm>
#include <bit>

#include "chip/check.h"

namespace lockstep::nccl {
namespace {

constexpr int64_t kSlotSimple = 512 << 10, kSlotLl = 32 << 10, kSlotLl128 = 576'000;  // payload
constexpr int kLlLine = 8, kLl128Thread = 60;  // payload bytes of a line; of a thread in a pass
constexpr int kBusyThreads = 256;  // assumed
constexpr int kWarp = 32;
constexpr int kFewestSlices = 32;  // a slice is at least this part of its slots

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

int64_t LargestChunk(Protocol protocol, int steps) {
  if (protocol == Protocol::kLl) return kSlotLl;
  return protocol == Protocol::kLl128 ? kSlotLl128 : kSlotSimple * steps;
}

std::vector<std::vector<Loop>> CutBytes(const Cut& cut) {
  LOCKSTEP_CHECK(cut.chunk > 0 && cut.grain > 0, "chunk %d, grain %d", cut.chunk, cut.grain);
  std::vector<std::vector<Loop>> channels(cut.channels);
  const int64_t largest = std::max(cut.grain, cut.chunk / cut.grain * cut.grain);
  if (cut.cell > 0) {
    const int64_t cells = CeilDiv(cut.bytes, cut.cell);
    int64_t left = cut.bytes;
    for (int c = 0; c < cut.channels; ++c) {
      const int64_t share = cells / cut.channels + (c < cells % cut.channels ? 1 : 0);
      int64_t mine = std::min(left, share * cut.cell);
      left -= mine;
      while (mine > 0) {
        const int64_t real = std::min(largest, CeilDiv(CeilDiv(mine, cut.pieces), 16) * 16);
        Loop& loop = channels[c].emplace_back(cut.pieces, 0);
        for (int64_t& piece : loop) mine -= piece = std::min(mine, real);
      }
    }
    return channels;
  }
  const int64_t all = int64_t{cut.channels} * cut.pieces;
  for (int64_t offset = 0; offset < cut.bytes; offset += all * largest) {
    const int64_t rest = cut.bytes - offset;
    const int64_t real = std::min(largest, CeilDiv(rest, all * cut.grain) * cut.grain);
    for (int c = 0; c < cut.channels; ++c) {
      Loop loop(cut.pieces, 0);
      for (int p = 0; p < cut.pieces; ++p) {
        loop[p] = std::clamp<int64_t>(rest - (int64_t{c} * cut.pieces + p) * real, 0, real);
      }
      channels[c].push_back(std::move(loop));
    }
  }
  return channels;
}

Cutter::Cutter(const Machine& machine, const Mechanisms& mechanisms, Protocol protocol,
               int threads, int slices, int slice_steps)
    : machine_(machine), mechanisms_(mechanisms), protocol_(protocol), threads_(threads),
      slices_(mechanisms.slices ? slices : 1),
      slice_steps_(mechanisms.slices ? slice_steps : slices * slice_steps) {}

int64_t Cutter::Cycles(int64_t cycles) const {
  return cycles * 1'000'000 / machine_.sm_clock_mhz;
}

// From kBusyThreads a block has enough loads and stores under way to move at its full rate; within a
// GPU that is higher.
int64_t Cutter::CopyPs(int64_t bytes, bool sends) const {
  const int64_t kilocycle_ps = int64_t{1024} * 1'000'000 / machine_.sm_clock_mhz;
  const int64_t ps = bytes * kilocycle_ps / machine_.costs.copy_bytes / (sends ? 1 : kLocalSpeed);
  return threads_ < kBusyThreads ? ps * kBusyThreads / threads_ : ps;
}

std::vector<Unit> Cutter::Passes(int64_t bytes, std::optional<int> to) const {
  const Costs& costs = machine_.costs;
  const bool ll = protocol_ == Protocol::kLl;
  const int64_t pass = int64_t{threads_} * (ll ? kLlLine : kLl128Thread);
  std::vector<Unit> units;
  for (int64_t done = 0; done == 0 || done < bytes; done += pass) {
    const int64_t b = std::min(pass, bytes - done);
    Unit unit;
    if (mechanisms_.passes || done == 0) {
      unit.fixed_ps = Cycles(ll ? costs.ll_cycles : costs.ll128_cycles);
    }
    if (ll && mechanisms_.slowest) {
      const int64_t warps = std::max<int64_t>(1, CeilDiv(b, kLlLine * kWarp));
      const int doublings = std::bit_width(static_cast<uint64_t>(warps - 1));
      unit.fixed_ps += Cycles(costs.ll_doubling_cycles * doublings);
    }
    if (!ll) unit.copy_ps = CopyPs(b, to.has_value());
    if (to) unit.port_bytes = ll ? 2 * b : b * 16 / 15, unit.to = *to;
    units.push_back(unit);
  }
  return units;
}

std::vector<Unit> Cutter::Slices(int64_t bytes, std::optional<int> to) const {
  const int64_t least = kSlotSimple * slice_steps_ / kFewestSlices;
  const int64_t slice = std::max(CeilDiv(bytes, int64_t{16} * slices_) * 16, least);
  std::vector<Unit> units(slices_);
  int64_t left = bytes;
  for (Unit& unit : units) {
    const int64_t b = std::min(left, slice);
    left -= b;
    unit.fixed_ps = Cycles(machine_.costs.simple_cycles);
    unit.copy_ps = CopyPs(b, to.has_value());
    if (to) unit.port_bytes = b, unit.to = *to;
  }
  LOCKSTEP_CHECK(left == 0, "%d of %d bytes left", left, bytes);
  return units;
}

std::vector<Unit> Cutter::Units(int64_t bytes, std::optional<int> to) const {
  std::vector<Unit> units =
      protocol_ == Protocol::kSimple ? Slices(bytes, to) : Passes(bytes, to);
  if (!mechanisms_.port) {
    for (Unit& unit : units) unit.port_bytes = 0;
  }
  return units;
}

int Cutter::Slots(int64_t chunk) const {
  if (protocol_ == Protocol::kSimple) return kSteps / slice_steps_;
  return kSteps * std::max<int>(1, static_cast<int>(Units(chunk, std::nullopt).size()));
}

int64_t Cutter::Grain() const {
  if (!mechanisms_.rounding) return 16;
  switch (protocol_) {
    case Protocol::kLl: return int64_t{threads_} * kLlLine;
    case Protocol::kLl128: return int64_t{threads_} * kLl128Thread / 2;
    case Protocol::kSimple: return int64_t{threads_} * kLlLine;
  }
  return 1;
}

}  // namespace lockstep::nccl
