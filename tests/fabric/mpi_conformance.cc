// The conformance suite over MPI, launched by ctest with 8, 4 and 2 ranks for the same 8 chips: once
// with the shared memory of the host, once as if every rank had a host of its own. All ranks run all
// tests; rank 0 prints, and any rank's failure is the launch's.
#include "fabric/mpi_fabric.h"
#include "tests/fabric/transport_conformance.h"

namespace lockstep {
namespace {

MpiSession* session = nullptr;  // gtest makes factories before main can hand it over

TransportFactory Mpi(const char* name, bool shared_memory) {
  return {name, [shared_memory] {
            const uint32_t k = (kTestChips + session->size() - 1) / session->size();
            auto fabric = MpiFabric::Create(
                *session, FullyConnected(),
                {.chips_per_rank = k, .shared_memory = shared_memory});
            LOCKSTEP_CHECK(fabric.ok(), "%s", fabric.status().ToString());
            return std::unique_ptr<Transport>(*std::move(fabric));
          }};
}

INSTANTIATE_TEST_SUITE_P(Mpi, TransportConformance,
                         testing::Values(Mpi("SharedMemory", true), Mpi("RemoteHosts", false)),
                         [](const auto& info) { return info.param.name; });

TEST(MpiFabricTest, AWrongNumberOfRanksIsRefusedWithBothNumbers) {
  const auto fabric = MpiFabric::Create(*session, FullyConnected(), {.chips_per_rank = 100});
  ASSERT_EQ(fabric.ok(), session->size() == 1);
  EXPECT_THAT(std::string(fabric.status().message()),
              testing::HasSubstr(absl::StrCat("need 1 MPI ranks, not ", session->size())));
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  auto session = lockstep::MpiSession::Init(&argc, &argv);
  if (!session.ok()) {
    std::fprintf(stderr, "%s\n", session.status().ToString().c_str());
    return 2;
  }
  lockstep::session = session->get();
  if (lockstep::session->rank() != 0) {
    testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
  }
  return RUN_ALL_TESTS();
}
