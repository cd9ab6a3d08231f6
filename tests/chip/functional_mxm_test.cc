// The MXM's values: matrix times vector in both types, accumulators, and weights that are held by
// reference while their words change.
#include "chip/numerics.h"
#include "tests/chip/functional_fixture.h"

namespace lockstep {
namespace {

constexpr int64_t kLoad = 40;     // cycle of the first lw
constexpr int64_t kInstall = 60;  // of iw: after 20 cycles of lw at most
constexpr int64_t kFeed = 64;

class FunctionalMxmTest : public FunctionalTest {
 protected:
  // f16: 320 x 160 values k / 64, exact in every sum. Word c of slices 2i, 2i + 1 holds rows
  // 8c + i and 8c + i + 160 (i < 8), 80 + 8c + i - 8 and so on (i >= 8).
  void StoreWeights16() {
    weights16.assign(320, std::vector<float>(160));
    for (auto& row : weights16) {
      for (float& w : row) w = (static_cast<int>(random() % 4001) - 2000) / 64.0f;
    }
    for (int c = 0; c < 10; ++c) {
      for (int i = 0; i < 16; ++i) {
        const int row = (i < 8 ? 0 : 80 - 8) + 8 * c + i;
        std::vector<float> both = weights16[row];
        both.insert(both.end(), weights16[row + 160].begin(), weights16[row + 160].end());
        StoreGroup(2 * i, c, Halves(both));
      }
    }
  }
  static std::vector<uint16_t> Halves(const std::vector<float>& values) {
    std::vector<uint16_t> out(values.size());
    VxmConvert(NumericType::kFp32, NumericType::kFp16, values.data(), out.data(),
               static_cast<int>(values.size()));
    return out;
  }
  static void Stream(ProgramBuilder& p, int cycles, int streams) {
    for (int s = 0; s < streams; ++s) {
      p.At(kLoad - SlicePosition(s) - OpCycles(Opcode::kRead), MemQueue(s),
           Op(Opcode::kRead, {0, 1, W(s)}), cycles);
    }
  }
  static ProgramBuilder Load16() {
    ProgramBuilder p;
    Stream(p, 10, 32);
    for (int plane = 0; plane < 2; ++plane) {
      p.At(kLoad, MxmQueue(plane, kMxmLw), Op(Opcode::kLw, {kTypeF16, 80 * plane, 8, 16, W(16 * plane)}),
           10);
    }
    return p;
  }
  void StoreWeights8() {
    weights8.assign(320, std::vector<int8_t>(320));
    for (int r = 0; r < 320; ++r) {
      for (int8_t& w : weights8[r]) w = static_cast<int8_t>(random());
      StoreGroup(r % 16, r / 16, weights8[r]);
    }
  }
  static ProgramBuilder Load8() {
    ProgramBuilder p;
    Stream(p, 20, 16);
    return p.At(kLoad, MxmQueue(0, kMxmLw), Op(Opcode::kLw, {kTypeI8, 0, 16, 16, W(0)}), 20);
  }
  // Loads the activation of slices 40, 41, feeds it, puts the result in slices 32..35.
  static void Multiply(ProgramBuilder& p, int type, int times = 1, int half = 0) {
    Bring(p, 33, kMxmWest, W(0), 40, 0, TypeBytes(type));
    p.At(33, MxmQueue(0, kMxmAbc), Op(Opcode::kAbcLoad, {type, 0, 0, W(0)}));
    p.At(kFeed, MxmQueue(0, kMxmAbc), Op(Opcode::kAbcFeed, {type, half, 0}), times);
    const int64_t leaves = kFeed + ChipTiming::Default().mxm_array;
    if (times > 1) {
      p.At(leaves, MxmQueue(0, kMxmAcc), Op(Opcode::kAcc, {type, 3, 0, 1, kNoStream}), times - 1);
    }
    p.At(leaves + times - 1, MxmQueue(0, kMxmAcc), Op(Opcode::kAcc, {type, 3, 0, times > 1, E(0)}));
    Take(p, leaves + times, kMxmWest, E(0), 32, 5, 4);
  }
  void StoreActivation16() {
    activation16.resize(kLanes);
    for (float& a : activation16) a = (static_cast<int>(random() % 201) - 100) / 64.0f;
    StoreGroup(40, 0, Halves(activation16));
  }
  void StoreActivation8() {
    activation8.resize(kLanes);
    for (int8_t& a : activation8) a = static_cast<int8_t>(random());
    StoreGroup(40, 0, activation8);
  }
  void ExpectProduct16(int times = 1, int half = 0) {
    const std::vector<float> got = LoadGroup<float>(32, 5);
    for (int n = 0; n < 320; ++n) {
      double sum = 0;
      for (int k = 0; k < 160; ++k) sum += double{weights16[n][k]} * activation16[160 * half + k];
      ASSERT_EQ(got[n], static_cast<float>(sum) * times) << n;
    }
  }
  void ExpectProduct8(int sign = 1) {
    const std::vector<int32_t> got = LoadGroup<int32_t>(32, 5);
    for (int n = 0; n < 320; ++n) {
      int32_t sum = 0;
      for (int k = 0; k < 320; ++k) sum += weights8[n][k] * activation8[k];
      ASSERT_EQ(got[n], sign * sum) << n;
    }
  }

  std::vector<std::vector<float>> weights16;
  std::vector<std::vector<int8_t>> weights8;
  std::vector<float> activation16;
  std::vector<int8_t> activation8;
};

TEST_F(FunctionalMxmTest, Fp16MatrixTimesEitherHalfOfAVector) {
  StoreWeights16();
  StoreActivation16();
  for (int half = 0; half < 2; ++half) {
    ProgramBuilder p = Load16();
    p.At(kInstall, MxmQueue(0, kMxmIw), Op(Opcode::kIw, {kTypeF16}));
    Multiply(p, kTypeF16, 1, half);
    RunWell(p);
    ExpectProduct16(1, half);
  }
}

TEST_F(FunctionalMxmTest, Int8MatrixTimesVectorIsExact) {
  StoreWeights8();
  StoreActivation8();
  ProgramBuilder p = Load8();
  p.At(kInstall, MxmQueue(0, kMxmIw), Op(Opcode::kIw, {kTypeI8}));
  Multiply(p, kTypeI8);
  RunWell(p);
  ExpectProduct8();
}

TEST_F(FunctionalMxmTest, AccumulatorsAddAndFeedsInFlightAreMultipliedTogether) {
  StoreWeights16();
  StoreActivation16();
  ProgramBuilder p = Load16();
  p.At(kInstall, MxmQueue(0, kMxmIw), Op(Opcode::kIw, {kTypeF16}));
  // Powers of two, so that the running sum of equal terms is exact often enough to compare.
  for (float& a : activation16) a = a < 0 ? -0.5f : 0.5f;
  StoreGroup(40, 0, Halves(activation16));
  Multiply(p, kTypeF16, 20);
  RunWell(p);
  ExpectProduct16(20);
}

TEST_F(FunctionalMxmTest, RowsNotLoadedAreZero) {
  StoreActivation8();
  ProgramBuilder p;
  Bring(p, kLoad, kMxmWest, W(0), 0, 0);
  p.At(kLoad, MxmQueue(0, kMxmLw), Op(Opcode::kLw, {kTypeI8, 17, 0, 1, W(0)}));
  p.At(kInstall, MxmQueue(0, kMxmIw), Op(Opcode::kIw, {kTypeI8}));
  Multiply(p, kTypeI8);
  weights8.assign(320, std::vector<int8_t>(320));
  for (int8_t& w : weights8[17]) w = static_cast<int8_t>(random());
  StoreGroup(0, 0, weights8[17]);
  RunWell(p);
  ExpectProduct8();
}

TEST_F(FunctionalMxmTest, InstalledWeightsStayWhenTheHostOverwritesTheirWords) {
  StoreWeights16();
  StoreActivation16();
  ProgramBuilder load = Load16();
  load.At(kInstall, MxmQueue(0, kMxmIw), Op(Opcode::kIw, {kTypeF16}));
  RunWell(load);
  for (int s = 0; s < 32; ++s) {
    for (int c = 0; c < 10; ++c) StoreRandom(s, c);
  }
  ProgramBuilder multiply;
  Multiply(multiply, kTypeF16);
  RunWell(multiply);
  ExpectProduct16();
}

TEST_F(FunctionalMxmTest, BufferedWeightsStayWhenAProgramOverwritesTheirWords) {
  StoreWeights8();
  StoreActivation8();
  RunWell(Load8());
  ProgramBuilder p;
  for (int s = 0; s < 16; ++s) {
    Bring(p, 20, SlicePosition(s), W(s), 44 + s, 0);
    p.At(20, MemQueue(s), Op(Opcode::kWrite, {s, 0, W(s)}));
  }
  p.At(kInstall, MxmQueue(0, kMxmIw), Op(Opcode::kIw, {kTypeI8}));
  Multiply(p, kTypeI8);
  RunWell(p);
  EXPECT_EQ(engine.sram().Load(3, 3), Vector{});
  ExpectProduct8();
}

TEST_F(FunctionalMxmTest, WeightsMayComeFromAnAlu) {
  StoreActivation8();
  weights8.assign(320, std::vector<int8_t>(320));
  for (int8_t& w : weights8[0]) w = static_cast<int8_t>(random() % 255 - 127);
  StoreGroup(kTo, 0, weights8[0]);
  ProgramBuilder p;
  const int64_t at_vxm = kLoad - kVxm - OpCycles(Opcode::kNegate);
  Bring(p, at_vxm, kVxm, W(0), kTo, 0);
  p.At(at_vxm, VxmQueue(0), Op(Opcode::kNegate, {kTypeI8, W(0), W(0)}));
  p.At(kLoad, MxmQueue(0, kMxmLw), Op(Opcode::kLw, {kTypeI8, 0, 0, 1, W(0)}));
  p.At(kInstall, MxmQueue(0, kMxmIw), Op(Opcode::kIw, {kTypeI8}));
  Multiply(p, kTypeI8);
  RunWell(p);
  ExpectProduct8(-1);
}

TEST_F(FunctionalMxmTest, AFeedInFlightKeepsTheWeightsItMet) {
  StoreWeights8();
  StoreActivation8();
  ProgramBuilder p = Load8();
  p.At(kInstall, MxmQueue(0, kMxmIw), Op(Opcode::kIw, {kTypeI8}));
  // An empty buffer, installed right after the feed.
  p.At(kFeed + 1, MxmQueue(0, kMxmIw), Op(Opcode::kIw, {kTypeI8}));
  Multiply(p, kTypeI8);
  RunWell(p);
  ExpectProduct8();
}

TEST_F(FunctionalMxmTest, AnInt8InstallEndsTheTandem) {
  StoreWeights16();
  StoreActivation16();
  ProgramBuilder p = Load16();
  p.At(kInstall, MxmQueue(0, kMxmIw), Op(Opcode::kIw, {kTypeF16}));
  p.At(kInstall + 1, MxmQueue(1, kMxmIw), Op(Opcode::kIw, {kTypeI8}));
  Multiply(p, kTypeF16);
  ExpectFault(p, FaultKind::kPlaneEmpty, kFeed, MxmQueue(0, kMxmAbc));
}

}  // namespace
}  // namespace lockstep
