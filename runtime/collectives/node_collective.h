#pragma once
// Collectives that have the chips of a node to themselves, for messages of any size: all links are
// used back to back and sums are made while the next vectors come in. Slots are 24 cycles, the
// 23.616 that a vector keeps a link busy in whole ones: 98.4 % of its rate.
//
//   slots   0 ........ 4*shard | first gather slot ....... + 4*shard
//           scatter parts        gather sums               one fp32 vector = 4 slots (byte planes)
//   VXM        sum w0 w1 w2 ...
//
// The member at distance d (mod size) has cycle d - 1 of each slot, so one slice serves all links.
// Words (fp32 vectors, 1280 B) lie in order in columns: input west, output east
// (runtime/kernels/place.h's layout does not apply); westmost and eastmost columns are buffers.

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "chip/latency.h"
#include "chip/program.h"
#include "runtime/kernels/collective.h"
#include "runtime/kernels/place.h"

namespace lockstep {

enum class CollectiveKind : uint8_t {
  kAllReduce,
  kReduceScatter,
  kAllGather,
  kBroadcast,
  kAllToAll
};
absl::StatusOr<CollectiveKind> CollectiveByName(absl::string_view name);  // "all-reduce", ...

enum class Phases : uint8_t {
  kOverlapped,  // gathering begins as soon as links are free and the first sum stands
  kSeparate,    // gathering begins when all parts have arrived: t = 2 (L + n vectors)
};

struct CollectiveProgram {
  Program program;
  int words = 0;        // of the whole message, a multiple of the members unless direct
  int shard = 0;        // words a member sums or contributes
  bool direct = false;  // all-reduce in one hop: every member sums everything
  int64_t sram_bytes = 0;
};

// Word w of what a member contributes and of its result. All-reduce: `words` in and out;
// reduce-scatter: words in, shard out; all-gather: shard in, words out; broadcast from member 0 and
// all-to-all: words in and out (block m of `shard` words to, or from, member m).
Quad CollectiveInput(int word);
Quad CollectiveOutput(int word);

// `bytes`: of the whole message (as nccl-tests counts it), 4 an fp32 element; reductions sum fp32
// in member order. group.port may be any; links all have group.flight_cycles.
// Errors: bytes < 1, or more than fits in SRAM.
absl::StatusOr<CollectiveProgram> CompileCollective(CollectiveKind kind, int64_t bytes,
                                                    const Group& group, const ChipTiming& timing,
                                                    Phases phases = Phases::kOverlapped);

}  // namespace lockstep
