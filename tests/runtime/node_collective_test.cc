// Collectives on real chips: values after an in-process run, and cycles against arithmetic.
#include "runtime/collectives/node_collective.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "chip/functional.h"
#include "chip/timing.h"
#include "fabric/fleet.h"
#include "fabric/link_model.h"
#include "fabric/local_fabric.h"
#include "runtime/machine/verify.h"

namespace lockstep {
namespace {

using Kind = CollectiveKind;

// Chip i reaches chip (i + p + 1) mod n over its link p.
Wiring Node(int n, const LinkModel& links) {
  std::vector<Wire> wires;
  for (int i = 0; i < n; ++i) {
    for (int p = 0; p < n - 1; ++p) {
      wires.push_back({static_cast<uint32_t>(i), static_cast<uint8_t>(p),
                       static_cast<uint8_t>(n - 2 - p), static_cast<uint32_t>((i + p + 1) % n),
                       static_cast<int32_t>(links.flight_cycles())});
    }
  }
  return *Wiring::Create(static_cast<uint32_t>(n), wires, links.vector_ticks());
}

// The compiled programs of all chips and what a run of them needs.
struct Bench {
  Bench(Kind kind, int chips, int64_t bytes, Phases phases = Phases::kOverlapped,
        const char* preset = "B")
      : n(chips), links(*LinkModel::Create(preset)) {
    timing.receive_turnaround = static_cast<int32_t>(links.turnaround_cycles());
    for (int self = 0; self < n; ++self) {
      Group g{n, self, std::vector<int>(n, -1), static_cast<int>(links.flight_cycles())};
      for (int m = 0; m < n; ++m) {
        if (m != self) g.port[m] = (m - self + n) % n - 1;
      }
      shape = *CompileCollective(kind, bytes, g, timing, phases);
      DispatchResult d = Dispatch(shape.program, timing, {.chip = static_cast<uint32_t>(self)});
      EXPECT_FALSE(d.fault) << d.fault->ToString();
      programs.push_back(std::make_shared<const Schedule>(std::move(d.schedule)));
    }
  }
  absl::StatusOr<FabricSchedule> Verified() const {
    return VerifyNode(programs, std::vector<int64_t>(n, shape.sram_bytes), Node(n, links), timing);
  }
  // Until the last vector stands in SRAM.
  int64_t Cycles() const {
    const int store = timing.d_func[static_cast<int>(Opcode::kReceive)] + timing.receive_turnaround;
    int64_t end = 0;
    for (const auto& p : programs) {
      end = std::max(end, p->end);
      for (const Run& run : p->runs) {
        if (run.instr.op == Opcode::kReceive) end = std::max(end, run.last() + store + 1);
      }
    }
    return end;
  }

  int n;
  LinkModel links;
  ChipTiming timing = ChipTiming::Default();
  CollectiveProgram shape;
  std::vector<std::shared_ptr<const Schedule>> programs;
};

// Values that make the order of additions show: magnitudes differ by powers of two.
float Value(int chip, int word, int lane) {
  const uint32_t x = (chip * 7919u + word * 104729u + lane * 31u) * 2654435761u;
  return std::ldexp(static_cast<float>(static_cast<int32_t>(x) >> 8), -static_cast<int>(x % 23));
}

class Machine {
 public:
  explicit Machine(const Bench& b) : bench_(b) {
    for (int c = 0; c < b.n; ++c) {
      engines_.push_back(std::make_unique<FunctionalEngine>(c, b.timing));
      for (int w = 0; w < b.shape.words; ++w) Store(c, w);
    }
  }
  std::optional<Fault> Run() {
    auto fabric = *LocalFabric::Create(Node(bench_.n, bench_.links), 1);
    std::vector<Engine*> engines;
    for (auto& e : engines_) engines.push_back(e.get());
    return Fleet(fabric.get(), engines).Run(bench_.programs);
  }
  float Output(int chip, int word, int lane) {
    const Quad q = CollectiveOutput(word);
    uint32_t bits = 0;
    for (int k = 0; k < 4; ++k) {
      const Vector v = engines_[chip]->sram().Load(ColumnSlice(q.side, q.column, k), q.address);
      bits |= uint32_t{v.bytes[lane]} << (8 * k);
    }
    return std::bit_cast<float>(bits);
  }

 private:
  void Store(int chip, int word) {
    const Quad q = CollectiveInput(word);
    for (int k = 0; k < 4; ++k) {
      Vector v;
      for (int lane = 0; lane < kLanes; ++lane) {
        v.bytes[lane] = std::bit_cast<uint32_t>(Value(chip, word, lane)) >> (8 * k) & 255;
      }
      engines_[chip]->sram().Store(ColumnSlice(q.side, q.column, k), q.address, v);
    }
  }
  const Bench& bench_;
  std::vector<std::unique_ptr<FunctionalEngine>> engines_;
};

// What member `chip` must hold in word `word` of its result.
float Expected(Kind kind, const CollectiveProgram& p, int n, int chip, int word, int lane) {
  switch (kind) {
    case Kind::kAllGather:
      return Value(word / p.shard, word % p.shard, lane);
    case Kind::kBroadcast:
      return Value(0, word, lane);
    case Kind::kAllToAll:
      return Value(word / p.shard, chip * p.shard + word % p.shard, lane);
    default:
      break;
  }
  const int at = kind == Kind::kReduceScatter ? chip * p.shard + word : word;
  float sum = Value(0, at, lane);
  for (int m = 1; m < n; ++m) sum += Value(m, at, lane);
  return sum;
}

class CollectiveValues : public testing::TestWithParam<std::tuple<Kind, int, int>> {};

TEST_P(CollectiveValues, AreExactOnEveryMember) {
  const auto [kind, n, words] = GetParam();
  const Bench b(kind, n, words * int64_t{1280} - 4);
  const auto verified = b.Verified();
  ASSERT_TRUE(verified.ok()) << verified.status();
  Machine machine(b);
  const std::optional<Fault> fault = machine.Run();
  ASSERT_FALSE(fault) << fault->ToString();
  const int out = kind == Kind::kReduceScatter ? b.shape.shard : b.shape.words;
  for (int c = 0; c < n; ++c) {
    for (int w = 0; w < out; ++w) {
      for (int lane = 0; lane < kLanes; lane += 53) {
        ASSERT_EQ(machine.Output(c, w, lane), Expected(kind, b.shape, n, c, w, lane))
            << "chip " << c << " word " << w << " lane " << lane;
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(All, CollectiveValues,
                         testing::Combine(testing::Values(Kind::kAllReduce, Kind::kReduceScatter,
                                                          Kind::kAllGather, Kind::kBroadcast,
                                                          Kind::kAllToAll),
                                          testing::Values(1, 2, 3, 5, 8),
                                          testing::Values(1, 13, 67)));

// 7 links in and out: bytes * 2 * 7 / 8 / time, at 0.9 cycles a ns.
double BusGigabytesPerSecond(int64_t bytes, int64_t cycles) {
  return static_cast<double>(bytes) * 1.75 / (static_cast<double>(cycles) / 0.9);
}

TEST(CollectiveCycles, SeparatePhasesKeepTheModelWithin15Percent) {
  for (const char* preset : {"A", "B", "C"}) {
    for (int64_t bytes : {int64_t{1} << 16, int64_t{1} << 20}) {
      const Bench b(Kind::kAllReduce, 8, bytes, Phases::kSeparate, preset);
      const double vectors = static_cast<double>((bytes / 8 + 319) / 320);
      const double model = 2 * (static_cast<double>(b.links.hop_cycles()) + vectors * 23.616);
      EXPECT_NEAR(static_cast<double>(b.Cycles()), model, 0.15 * model) << preset << bytes;
    }
  }
}

TEST(CollectiveCycles, BusBandwidthOf32MebibytesIsWithinTwoPercentOf85Point4) {
  const int64_t bytes = int64_t{32} << 20;
  const Bench b(Kind::kAllReduce, 8, bytes, Phases::kSeparate);
  const auto verified = b.Verified();
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_NEAR(BusGigabytesPerSecond(bytes, b.Cycles()), 85.4, 0.02 * 85.4);
}

TEST(CollectiveCycles, OverlappedPhasesAreNeverSlower) {
  for (int64_t bytes : {int64_t{1280} * 16, int64_t{1} << 16, int64_t{1} << 20}) {
    EXPECT_LE(Bench(Kind::kAllReduce, 8, bytes).Cycles(),
              Bench(Kind::kAllReduce, 8, bytes, Phases::kSeparate).Cycles());
  }
}

}  // namespace
}  // namespace lockstep
