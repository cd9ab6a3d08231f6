#pragma once
// What every transport must do, whatever carries its vectors. Eight chips, fully connected, run
// scripts; every process sees every chip's trace and compares it with a single-threaded run of all
// eight within itself, whose own truth is checked against arithmetic in a few tests.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chip/check.h"
#include "fabric/agreement.h"
#include "fabric/fleet.h"
#include "fabric/link_model.h"
#include "fabric/local_fabric.h"
#include "tests/fabric/scripted_engine.h"

namespace lockstep {

inline constexpr uint32_t kTestChips = 8;
inline constexpr int32_t kTestFlight = 217;

// Link of `chip` to `peer` in a fully connected node.
inline int LinkTo(uint32_t chip, uint32_t peer) {
  return static_cast<int>(peer < chip ? peer : peer - 1);
}

inline Wiring FullyConnected() {
  std::vector<Wire> wires;
  for (uint32_t a = 0; a < kTestChips; ++a) {
    for (uint32_t b = 0; b < kTestChips; ++b) {
      if (a == b) continue;
      wires.push_back({a, static_cast<uint8_t>(LinkTo(a, b)), static_cast<uint8_t>(LinkTo(b, a)), b,
                       kTestFlight});
    }
  }
  absl::StatusOr<Wiring> wiring = Wiring::Create(kTestChips, std::move(wires), 2952);
  LOCKSTEP_CHECK(wiring.ok(), "%s", wiring.status().ToString());
  return *std::move(wiring);
}

struct TransportFactory {
  std::string name;
  std::function<std::unique_ptr<Transport>()> make;
};

using Scripts = std::vector<std::vector<Act>>;  // by chip

// What identifies a fault of the C2C queue of `link`.
inline std::string Broke(FaultKind kind, uint32_t chip, int link, int64_t cycle) {
  return absl::StrCat("kind ", static_cast<int>(kind), " chip", chip, " c2c", link, " @", cycle);
}

struct Outcome {
  std::vector<std::string> traces;  // of all chips, run after run
  std::string fault;                // empty: none
  bool operator==(const Outcome&) const = default;
};

struct Mode {
  bool payload = true;
  bool looks_back = true;
};

// Runs each of `runs` on all chips, one after the other.
inline Outcome Play(Transport& transport, const std::vector<Scripts>& runs, Mode mode) {
  std::vector<std::unique_ptr<ScriptedEngine>> engines;
  std::vector<Engine*> pointers;
  for (uint32_t chip : transport.chips()) {
    engines.push_back(std::make_unique<ScriptedEngine>(chip, mode.payload, mode.looks_back));
    pointers.push_back(engines.back().get());
  }
  Fleet fleet(&transport, pointers);
  const std::vector<std::shared_ptr<const Schedule>> schedules(engines.size());
  Outcome outcome;
  for (const Scripts& scripts : runs) {
    for (size_t i = 0; i < engines.size(); ++i) {
      engines[i]->SetScript(scripts[transport.chips()[i]]);
    }
    const std::optional<Fault> fault = fleet.Run(schedules);
    std::string mine;
    for (const auto& e : engines) absl::StrAppend(&mine, e->trace(), "#", e->timing_digest(), "\n");
    std::string all;
    for (const std::string& part : AllGather(transport, mine)) all += part;
    outcome.traces.push_back(all);
    if (fault) {
      outcome.fault = Broke(fault->kind, fault->chip, fault->queue - kC2cQueue0, fault->cycle);
      break;
    }
  }
  return outcome;
}

class TransportConformance : public testing::TestWithParam<TransportFactory> {
 protected:
  // On the transport under test; equal to the plain run by the time it returns.
  Outcome Run(const std::vector<Scripts>& runs, Mode mode = {}) {
    const std::unique_ptr<Transport> transport = GetParam().make();
    const Outcome outcome = Play(*transport, runs, mode);
    const auto plain = LocalFabric::Create(FullyConnected(), 1);
    EXPECT_TRUE(Play(**plain, runs, mode) == outcome) << "differs from the single-threaded run";
    return outcome;
  }
  static Scripts None() { return Scripts(kTestChips); }
};

// Receives as late as may be: tests of order and blocking do not depend on the cycle.
inline constexpr int64_t kLate = 1'000'000'000;

TEST_P(TransportConformance, ARingPassesEachVectorToTheNextChip) {
  Scripts s = None();
  for (uint32_t c = 0; c < kTestChips; ++c) {
    const uint32_t next = (c + 1) % kTestChips, last = (c + kTestChips - 1) % kTestChips;
    s[c] = {{Act::kSend, LinkTo(c, next), 100}, {Act::kReceive, LinkTo(c, last), 100 + 24 + 217}};
  }
  const Outcome outcome = Run({s});
  EXPECT_EQ(outcome.fault, "");
  // 100 + ceil(23.616) + 217.
  EXPECT_THAT(outcome.traces[0], testing::HasSubstr("chip0: 6@341="));
}

TEST_P(TransportConformance, AReceiveOneCycleEarlyIsAFault) {
  Scripts s = None();
  s[3] = {{Act::kSend, LinkTo(3, 4), 100}};
  s[4] = {{Act::kReceive, LinkTo(4, 3), 100 + 24 + 217 - 1}};
  EXPECT_EQ(Run({s}).fault, Broke(FaultKind::kReceiveEmpty, 4, 3, 340));
}

TEST_P(TransportConformance, PayloadArrivesUnchangedAndInOrder) {
  Scripts s = None();
  s[0] = {{Act::kSend, LinkTo(0, 7), 0, 200}};
  s[7] = {{Act::kReceive, LinkTo(7, 0), kLate, 200}};
  const Outcome outcome = Run({s});
  std::string expected = "chip7:";
  for (int64_t i = 0; i < 200; ++i) {
    uint64_t sum = 0;
    for (uint8_t b : PayloadOf(0, LinkTo(0, 7), i * kActPeriod).bytes) sum = sum * 31 + b;
    absl::StrAppend(&expected, " 0@", i * kActPeriod + 24 + 217, "=", absl::Hex(sum));
  }
  EXPECT_THAT(outcome.traces[0], testing::HasSubstr(expected));
}

inline Scripts AllToAll(int64_t vectors) {
  Scripts s(kTestChips);
  for (uint32_t c = 0; c < kTestChips; ++c) {
    for (int link = 0; link < 7; ++link) s[c].push_back({Act::kSend, link, 0, vectors});
    for (int link = 6; link >= 0; --link) s[c].push_back({Act::kReceive, link, kLate, vectors});
  }
  return s;
}

TEST_P(TransportConformance, AllToAllBurstsLargerThanAnyBufferArrive) {
  EXPECT_EQ(Run({AllToAll(1000)}).fault, "");  // 7 * 320 kB out of each chip before it receives
}

TEST_P(TransportConformance, ALongPipelineThroughAllChipsKeepsItsOrder) {
  Scripts s = None();
  for (uint32_t c = 0; c < kTestChips; ++c) {
    for (int64_t i = 0; i < 500; ++i) {
      if (c > 0) s[c].push_back({Act::kReceive, LinkTo(c, c - 1), c * 300 + i * 24});
      if (c < 7) s[c].push_back({Act::kSend, LinkTo(c, c + 1), c * 300 + i * 24 + 1});
    }
  }
  EXPECT_EQ(Run({s}).fault, "");
}

TEST_P(TransportConformance, ASenderMayBeFarAheadOfAReceiverThatHasNotStarted) {
  Scripts s = None();
  s[0] = {{Act::kSend, LinkTo(0, 1), 0, 100'000}, {Act::kSend, LinkTo(0, 2), 2'400'000}};
  s[2] = {{Act::kReceive, LinkTo(2, 0), kLate}, {Act::kSend, LinkTo(2, 1), kLate + 1}};
  s[1] = {{Act::kReceive, LinkTo(1, 2), 2 * kLate},
          {Act::kReceive, LinkTo(1, 0), 2 * kLate + 24, 100'000}};
  EXPECT_EQ(Run({s}).fault, "");
}

TEST_P(TransportConformance, ChipsMayDependOnEachOtherWithinABurst) {
  Scripts s = None();
  for (uint32_t c = 0; c < kTestChips; ++c) {
    for (int64_t i = 0; i < 200; ++i) {
      for (uint32_t d = 1; d < kTestChips; d *= 2) {
        const int link = LinkTo(c, c ^ d);
        s[c].push_back({Act::kSend, link, i * 300});
        s[c].push_back({Act::kReceive, link, i * 300 + 250});
      }
    }
  }
  EXPECT_EQ(Run({s}).fault, "");
}

TEST_P(TransportConformance, TheEarliestFaultIsReportedEverywhere) {
  Scripts s = AllToAll(10);
  s[6] = {{Act::kBreak, 0, 700}};
  s[2] = {{Act::kSend, 0, 0, 5}, {Act::kBreak, 0, 500}};
  s[5].push_back({Act::kBreak, 0, 2 * kLate});
  EXPECT_EQ(Run({s}).fault, Broke(FaultKind::kBankConflict, 2, 0, 500));
}

TEST_P(TransportConformance, AStarvedReceiveIsAFaultAndNoHang) {
  Scripts s = None();
  s[1] = {{Act::kReceive, LinkTo(1, 0), 900}};
  EXPECT_EQ(Run({s}).fault, Broke(FaultKind::kReceiveEmpty, 1, 0, 900));
}

TEST_P(TransportConformance, ACycleOfWaitersIsTheEarliestOnesFault) {
  Scripts s = None();
  for (uint32_t c = 0; c < kTestChips; ++c) {
    const uint32_t next = (c + 1) % kTestChips, last = (c + kTestChips - 1) % kTestChips;
    s[c] = {{Act::kReceive, LinkTo(c, last), 1000 + (c ^ 5)}, {Act::kSend, LinkTo(c, next), 2000}};
  }
  EXPECT_EQ(Run({s}).fault, Broke(FaultKind::kReceiveEmpty, 5, 4, 1000));
}

TEST_P(TransportConformance, AVectorNobodyReceivesIsFoundByEngineOrFleet) {
  Scripts s = None();
  s[0] = {{Act::kSend, LinkTo(0, 3), 10}, {Act::kSend, LinkTo(0, 3), 34}};
  s[3] = {{Act::kReceive, LinkTo(3, 0), 300}};
  for (bool looks_back : {true, false}) {
    EXPECT_EQ(Run({s}, {.looks_back = looks_back}).fault,
              Broke(FaultKind::kReceiveMissing, 3, 0, 275));  // 34 + 24 + 217
  }
}

TEST_P(TransportConformance, TimingRunsCarryNoPayloadAndArriveAlike) {
  const Outcome outcome = Run({AllToAll(300)}, {.payload = false});
  EXPECT_EQ(outcome.fault, "");
  EXPECT_THAT(outcome.traces[0], testing::HasSubstr("chip0: 6@241=0 6@265=0"));
}

TEST_P(TransportConformance, ProgramRunsFollowEachOtherWithoutMixing) {
  Scripts ring = None();
  for (uint32_t c = 0; c < kTestChips; ++c) {
    const uint32_t next = (c + 1) % kTestChips, last = (c + kTestChips - 1) % kTestChips;
    ring[c] = {{Act::kSend, LinkTo(c, next), 5}, {Act::kReceive, LinkTo(c, last), 400}};
  }
  const std::vector<Scripts> runs = {ring, AllToAll(20), None(), ring, ring, AllToAll(3)};
  for (bool looks_back : {true, false}) {
    const Outcome outcome = Run(runs, {.looks_back = looks_back});
    EXPECT_EQ(outcome.fault, "");
    EXPECT_EQ(outcome.traces.size(), runs.size());
  }
}

TEST_P(TransportConformance, CollectivesReachEveryProcess) {
  const std::unique_ptr<Transport> transport = GetParam().make();
  const Process process = transport->process();
  std::string big = process.rank == 0 ? std::string(1 << 20, 'x') + "end" : "";
  transport->Broadcast(&big);
  EXPECT_EQ(big, std::string(1 << 20, 'x') + "end");
  const auto all = AllGather(*transport, absl::StrCat("r", process.rank));
  ASSERT_EQ(all.size(), static_cast<size_t>(process.ranks));
  for (int r = 0; r < process.ranks; ++r) EXPECT_EQ(all[r], absl::StrCat("r", r));
  std::vector<std::string> each;  // more than a ring holds, and nothing for the last
  for (int r = 0; process.rank == 0 && r < process.ranks; ++r) {
    each.push_back(std::string((process.ranks - 1 - r) * (300 << 10), static_cast<char>('a' + r)));
  }
  EXPECT_EQ(transport->Scatter(std::move(each)),
            std::string((process.ranks - 1 - process.rank) * (300 << 10),
                        static_cast<char>('a' + process.rank)));
}

TEST_P(TransportConformance, DifferentPlansAreRefusedAndTheRankIsNamed) {
  const std::unique_ptr<Transport> transport = GetParam().make();
  const Process process = transport->process();
  EXPECT_TRUE(AgreeDigest(*transport, 42).ok());
  const absl::Status odd = AgreeDigest(*transport, process.rank == 1 ? 0xbad : 42);
  EXPECT_EQ(odd.ok(), process.ranks == 1);
  if (process.ranks > 1) {
    EXPECT_THAT(std::string(odd.message()), testing::HasSubstr("rank 1 has 0000000000000bad"));
  }
}

}  // namespace lockstep
