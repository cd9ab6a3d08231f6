#pragma once
// The collectives that are compiled, and the ways to do them. fp32 words of 320 elements (1280 B, a
// vector a byte plane); a message of `words` is padded to what its kind needs.
//
//   kind             a chip contributes   and gets
//   all-reduce       words                words: sums
//   reduce-scatter   words                shard: the sums of block `chip`
//   all-gather       shard                words: block m is chip m's
//   broadcast        words (chip 0)       words
//   all-to-all       words: block m is    words: block m is
//                    for chip m           from chip m
//   send/receive     words, for the       words, from the chip before
//                    chip after it

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lockstep {

enum class CollectiveKind : uint8_t {
  kAllReduce, kReduceScatter, kAllGather, kBroadcast, kAllToAll, kSendRecv
};
absl::StatusOr<CollectiveKind> CollectiveByName(absl::string_view name);  // "all-reduce", ...
const char* Name(CollectiveKind kind);

enum class CollectiveAlgorithm : uint8_t { kAuto, kTrees, kExchange, kRelay, kRoutes };
absl::StatusOr<CollectiveAlgorithm> AlgorithmByName(absl::string_view name);  // "auto", ...
const char* Name(CollectiveAlgorithm algorithm);

// Those that can do `kind`, the one for large messages first; never kAuto.
std::vector<CollectiveAlgorithm> AlgorithmsOf(CollectiveKind kind);

}  // namespace lockstep
