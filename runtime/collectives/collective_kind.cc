// Names of collectives and algorithms (runtime/collectives/collective_kind.h).
#include "runtime/collectives/collective_kind.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lockstep {
namespace {

constexpr std::array<const char*, 6> kKinds = {"all-reduce", "reduce-scatter", "all-gather",
                                               "broadcast",  "all-to-all",     "sendrecv"};
constexpr std::array<const char*, 5> kAlgorithms = {"auto", "trees", "exchange", "relay",
                                                    "routes"};

template <typename Value, size_t n>
absl::StatusOr<Value> ByName(const std::array<const char*, n>& names, absl::string_view name,
                             const char* what) {
  for (size_t i = 0; i < n; ++i) {
    if (names[i] == name) return static_cast<Value>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat("no ", what, " is called ", name,
                                                 "; there are ", absl::StrJoin(names, ", ")));
}

}  // namespace

absl::StatusOr<CollectiveKind> CollectiveByName(absl::string_view name) {
  return ByName<CollectiveKind>(kKinds, name, "collective");
}
const char* Name(CollectiveKind kind) { return kKinds[static_cast<size_t>(kind)]; }

absl::StatusOr<CollectiveAlgorithm> AlgorithmByName(absl::string_view name) {
  return ByName<CollectiveAlgorithm>(kAlgorithms, name, "algorithm");
}
const char* Name(CollectiveAlgorithm algorithm) {
  return kAlgorithms[static_cast<size_t>(algorithm)];
}

std::vector<CollectiveAlgorithm> AlgorithmsOf(CollectiveKind kind) {
  using Algorithm = CollectiveAlgorithm;
  switch (kind) {
    case CollectiveKind::kAllReduce: return {Algorithm::kTrees, Algorithm::kExchange};
    case CollectiveKind::kReduceScatter:
    case CollectiveKind::kAllGather: return {Algorithm::kTrees};
    case CollectiveKind::kBroadcast: return {Algorithm::kRelay, Algorithm::kTrees};
    case CollectiveKind::kAllToAll:
    case CollectiveKind::kSendRecv: break;
  }
  return {Algorithm::kRoutes};
}

}  // namespace lockstep
