// Names, versions and the arithmetic of nccl-tests' columns.
#include "fabric/nccl/call.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace lockstep::nccl {
namespace {

constexpr std::array<const char*, 6> kOperations = {"all_reduce", "all_gather", "reduce_scatter",
                                                    "broadcast",  "all_to_all", "sendrecv"};
constexpr std::array<const char*, 4> kAlgorithms = {"Tree", "Ring", "NVLS", "P2P"};
constexpr std::array<const char*, 3> kProtocols = {"LL", "LL128", "Simple"};
constexpr int kOldest = 8, kNewest = 30;
constexpr int kElementBytes = 4;  // float, nccl-tests' default

template <typename Enum, size_t N>
absl::StatusOr<Enum> ByName(absl::string_view name, const std::array<const char*, N>& names,
                            const char* what) {
  for (size_t i = 0; i < N; ++i) {
    if (absl::EqualsIgnoreCase(name, names[i])) return static_cast<Enum>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown ", what, " \"", name, "\"; there are ",
                                                 absl::StrJoin(names, ", ")));
}

}  // namespace

const char* Name(Operation operation) { return kOperations[static_cast<size_t>(operation)]; }
const char* Name(Algorithm algorithm) { return kAlgorithms[static_cast<size_t>(algorithm)]; }
const char* Name(Protocol protocol) { return kProtocols[static_cast<size_t>(protocol)]; }

absl::StatusOr<Operation> OperationByName(absl::string_view name) {
  return ByName<Operation>(name, kOperations, "collective");
}
absl::StatusOr<Algorithm> AlgorithmByName(absl::string_view name) {
  return ByName<Algorithm>(name, kAlgorithms, "algorithm");
}
absl::StatusOr<Protocol> ProtocolByName(absl::string_view name) {
  return ByName<Protocol>(name, kProtocols, "protocol");
}

absl::StatusOr<Version> Version::Parse(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '.');
  int major = 0, minor = 0, patch = 0;
  const bool numbers = (parts.size() == 2 || parts.size() == 3) &&
                       absl::SimpleAtoi(parts[0], &major) && absl::SimpleAtoi(parts[1], &minor) &&
                       (parts.size() == 2 || absl::SimpleAtoi(parts[2], &patch));
  if (!numbers || major != 2 || minor < kOldest || minor > kNewest || patch < 0 || patch > 99) {
    return absl::InvalidArgumentError(absl::StrCat("NCCL version \"", text, "\": need 2.", kOldest,
                                                   " to 2.", kNewest, ", such as 2.17 or 2.18.3"));
  }
  return Version(minor, patch);
}

std::string Version::ToString() const { return absl::StrCat("2.", code_ / 100, ".", code_ % 100); }

double BusFactor(Operation operation, int ranks) {
  const double n = ranks;
  switch (operation) {
    case Operation::kAllReduce: return 2 * (n - 1) / n;
    case Operation::kAllGather:
    case Operation::kReduceScatter:
    case Operation::kAllToAll: return (n - 1) / n;
    case Operation::kBroadcast:
    case Operation::kSendRecv: return 1;
  }
  return 1;
}

int64_t WholeElements(Operation operation, int64_t bytes, int ranks) {
  const bool divided = operation == Operation::kAllGather ||
                       operation == Operation::kReduceScatter || operation == Operation::kAllToAll;
  const int64_t align = int64_t{kElementBytes} * (divided ? ranks : 1);
  return std::max(bytes / align, int64_t{1}) * align;
}

}  // namespace lockstep::nccl
