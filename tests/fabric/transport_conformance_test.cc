// The conformance suite on the in-process transport.
#include "tests/fabric/transport_conformance.h"

namespace lockstep {
namespace {

TransportFactory Local(int threads) {
  return {absl::StrCat("LocalWith", threads, "Threads"), [threads] {
            auto fabric = LocalFabric::Create(FullyConnected(), threads);
            LOCKSTEP_CHECK(fabric.ok(), "%s", fabric.status().ToString());
            return std::unique_ptr<Transport>(*std::move(fabric));
          }};
}

INSTANTIATE_TEST_SUITE_P(Local, TransportConformance, testing::Values(Local(1), Local(2), Local(5)),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lockstep
