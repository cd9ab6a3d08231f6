#pragma once
// What is asked of NCCL: an operation on so many bytes and ranks, by which version of the library;
// and the names of what it chooses from. Sizes count as nccl-tests counts them.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lockstep::nccl {

enum class Operation : uint8_t {
  kAllReduce, kAllGather, kReduceScatter, kBroadcast, kAllToAll, kSendRecv
};
enum class Algorithm : uint8_t { kTree, kRing, kNvls, kPointToPoint };
enum class Protocol : uint8_t { kLl, kLl128, kSimple };

// "all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all", "sendrecv".
const char* Name(Operation operation);
const char* Name(Algorithm algorithm);  // "Tree", "Ring", "NVLS", "P2P"
const char* Name(Protocol protocol);    // "LL", "LL128", "Simple"

// InvalidArgument lists the names there are.
absl::StatusOr<Operation> OperationByName(absl::string_view name);
absl::StatusOr<Algorithm> AlgorithmByName(absl::string_view name);  // of any case
absl::StatusOr<Protocol> ProtocolByName(absl::string_view name);

// A release of NCCL, 2.8 to 2.30: the range whose rules were compared one by one.
class Version {
 public:
  // "2.17" or "2.17.1". InvalidArgument: not of that form, or outside of the range.
  static absl::StatusOr<Version> Parse(absl::string_view text);
  constexpr Version(int minor, int patch) : code_(minor * 100 + patch) {}

  constexpr bool AtLeast(int minor, int patch = 0) const { return code_ >= minor * 100 + patch; }
  std::string ToString() const;
  bool operator==(const Version&) const = default;

 private:
  int code_;
};

// bytes: all-reduce and broadcast the buffer, all-gather, reduce-scatter and all-to-all the total
// over ranks, sendrecv what each rank sends to its neighbour.
struct Call {
  Operation operation = Operation::kAllReduce;
  int64_t bytes = 0;
  int ranks = 8;
};

// busbw = algbw * BusFactor: 2(n-1)/n, (n-1)/n or 1 (nccl-tests, doc/PERFORMANCE.md).
double BusFactor(Operation operation, int ranks);

// What nccl-tests really moves when asked for `bytes`: whole floats, the same number for each rank
// where the message is divided among them. At least one each, where nccl-tests moves nothing.
int64_t WholeElements(Operation operation, int64_t bytes, int ranks);

}  // namespace lockstep::nccl
