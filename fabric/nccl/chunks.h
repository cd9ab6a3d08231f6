#pragma once
// How a call's bytes are cut: among channels, into loops, into the chunk of each step, and each
// chunk into the units that a thread block handles at once.
//
//   buffer   | loop 0                                | loop 1 ...
//   loop     | channel 0 | channel 1 | ...             each: `pieces` chunks (ranks of a ring's
//   channel  | chunk 0 | chunk 1 | ... |               all-reduce, else 1); the last ones may be short
//   chunk    | slice | slice |  Simple;  passes of all threads: LL, LL128
//
// Origin: src/device/*.h (runRing, minChunkSize), src/enqueue.cc, src/include/device.h.

#include <cstdint>
#include <optional>
#include <vector>

#include "fabric/nccl/call.h"
#include "fabric/nccl/flow.h"
#include "fabric/nccl/machine.h"
#include "fabric/nccl/tuning.h"

namespace lockstep::nccl {

// Parts of the model that can be left out, to see what each contributes (the ablation).
struct Mechanisms {
  bool scaling = true;    // fewer channels and threads for small messages
  bool passes = true;     // a pass of threads has a cost of its own, however few bytes it moves
  bool slowest = true;    // a pass waits for its slowest line
  bool rounding = true;   // chunks are whole grains of all threads
  bool slices = true;     // a Simple chunk is handed on in two slices
  bool port = true;       // all channels share their GPU's port
  bool wire = true;       // stores take time to be seen
  bool choice = true;     // NCCL's protocol by size; without: Simple always

  bool operator==(const Mechanisms&) const = default;
};

inline constexpr int kSteps = 8;  // slots of a connection
// How much faster a block moves bytes within its GPU than to another one. Assumed: with 2 GPUs rings
// are as fast as with 8 (NVIDIA in nccl issue 1455), although every third step is then a local one.
inline constexpr int kLocalSpeed = 2;

// One step's chunk in bytes at most, before it is cut down to the message.
int64_t LargestChunk(Protocol protocol, int steps);

// A loop of one channel: bytes of each piece, 0 beyond the end of the message.
using Loop = std::vector<int64_t>;

struct Cut {
  int64_t bytes = 0;       // to be divided among channels: of the message, or of one rank's part
  int channels = 1;
  int pieces = 1;
  int64_t chunk = 0;       // at most
  int64_t grain = 1;       // chunks are multiples of it
  int64_t cell = 0;        // not 0: channels are dealt whole cells (2.22 and later)
};

// By channel, its loops.
std::vector<std::vector<Loop>> CutBytes(const Cut& cut);

// Units of blocks of one protocol.
class Cutter {
 public:
  // `slices` of a Simple chunk, each of `slice_steps` slots; `threads` that move data.
  Cutter(const Machine& machine, const Mechanisms& mechanisms, Protocol protocol, int threads,
         int slices, int slice_steps);

  // Of a step's chunk; inputs and outputs are left to the caller. 0 bytes cost a pass as well; LL
  // and LL128 then neither wait for data nor send any (`Synchronises`). `to`: they go over the wire to this GPU,
  // or kAll.
  std::vector<Unit> Units(int64_t bytes, std::optional<int> to) const;
  bool Synchronises(int64_t bytes) const { return bytes > 0 || protocol_ == Protocol::kSimple; }
  // Of a connection whose chunks have at most so many bytes, in units.
  int Slots(int64_t chunk) const;
  // What a chunk is rounded up to.
  int64_t Grain() const;
  int64_t Cycles(int64_t cycles) const;  // in ps

 private:
  std::vector<Unit> Passes(int64_t bytes, std::optional<int> to) const;
  std::vector<Unit> Slices(int64_t bytes, std::optional<int> to) const;
  int64_t CopyPs(int64_t bytes, bool sends) const;

  const Machine& machine_;
  const Mechanisms mechanisms_;
  const Protocol protocol_;
  const int threads_, slices_, slice_steps_;
};

}  // namespace lockstep::nccl
