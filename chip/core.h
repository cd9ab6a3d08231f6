#pragma once
// What the units of the functional engine share: SRAM, streams, buffers, and how a dispatch reads
// operands, puts results on streams and reports a fault.

#include <cstdint>
#include <optional>
#include <string>

#include "chip/fault.h"
#include "chip/latency.h"
#include "chip/program.h"
#include "chip/sram.h"
#include "chip/streams.h"

namespace lockstep {

// One dispatch: iteration i of a run, in a cycle.
struct Dispatched {
  const Run& run;
  int64_t i;
  int64_t cycle;
  int position;
  int64_t& age;  // of the run's operands so far (chip/event.h)

  int queue() const { return run.queue; }
  int32_t arg(int k) const { return run.instr.arg[k]; }
  // Operand k, which the operand after it advances each iteration.
  int32_t Strided(int k) const {
    return static_cast<int32_t>(run.instr.arg[k] + i * run.instr.arg[k + 1]);
  }
};

inline constexpr int kMaxElementBytes = 4;
inline constexpr int kGroupBytes = kLanes * kMaxElementBytes;

class Core {
 public:
  Core(uint32_t chip, const ChipTiming& timing, Sram::Pages pages);

  const uint32_t chip;
  const ChipTiming timing;
  const int64_t lifetime;  // cycles after a dispatch in which its results may still be read
  Sram sram;
  Streams streams;
  BufferRing vectors;  // of 320 B
  BufferRing groups;   // of 1280 B
  std::optional<Fault> fault;

  // Streams empty, buffers free, no fault.
  void Restart();

  // Records the fault and returns false, so that `return core.Fail(...)` ends a dispatch.
  bool Fail(FaultKind kind, const Dispatched& d, std::string detail);
  bool FailAt(FaultKind kind, const Dispatched& d, int64_t cycle, std::string detail);

  // What `stream` holds at the dispatch's position in its cycle; null after a fault.
  const Streams::Entry* Read(const Dispatched& d, int stream) {
    return ReadIn(d, stream, d.cycle);
  }
  const Streams::Entry* ReadIn(const Dispatched& d, int stream, int64_t cycle) {
    const int u = Streams::Place(stream, d.position);
    const Streams::Entry* e = streams.Find(stream, u, cycle);
    if (e == nullptr) [[unlikely]] {
      Empty(d, stream, cycle);
      return nullptr;
    }
    d.age += u - e->place;
    return e;
  }
  // The 320 bytes of a stream (in `scratch` if they had to be taken out of a wider array).
  const uint8_t* ReadPlane(const Dispatched& d, int stream, uint8_t scratch[kLanes]);
  // An aligned group as a native array of 320 elements of `width` bytes; null after a fault.
  const uint8_t* ReadGroup(const Dispatched& d, int stream, int width,
                           uint8_t scratch[kGroupBytes]);

  uint8_t* NewGroup(const Dispatched& d, int width) {
    return width == 1 ? vectors.Take(d.cycle) : groups.Take(d.cycle);
  }
  // Puts the planes of a native array on a group of streams, d_func after the dispatch.
  bool Emit(const Dispatched& d, int stream, int width, const uint8_t* native) {
    const int64_t cycle = d.cycle + timing.d_func[static_cast<int>(d.run.instr.op)];
    const int u = Streams::Place(stream, d.position);
    for (int j = 0; j < width; ++j) {
      const Payload p = {native, static_cast<uint8_t>(width), static_cast<uint8_t>(j), kNoSlice};
      if (!streams.Enter(stream + j, u, cycle, p)) return Conflict(d, stream + j, cycle);
    }
    return true;
  }
  bool Conflict(const Dispatched& d, int stream, int64_t cycle);

 private:
  void Empty(const Dispatched& d, int stream, int64_t cycle);
};

// The bytes of an entry, taken out of a wider array into `scratch` where needed.
const uint8_t* PlaneOf(const Streams::Entry& entry, uint8_t scratch[kLanes]);
// `e5`, `w31`.
std::string StreamName(int stream);

}  // namespace lockstep
