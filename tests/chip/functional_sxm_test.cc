// Every SXM operation against the obvious loop, on single streams and on groups.
#include "tests/chip/functional_fixture.h"

namespace lockstep {
namespace {

class FunctionalSxmTest : public FunctionalTest {
 protected:
  static constexpr int64_t kAt = 40;
  static constexpr int kLanesQueue = SxmQueue(Hemisphere::kEast, 2);
  static constexpr int kTransposeQueue = SxmQueue(Hemisphere::kEast, 0);

  std::vector<uint32_t> RandomGroup(int slice) {
    std::vector<uint32_t> v(kLanes);
    for (uint32_t& x : v) x = static_cast<uint32_t>(random());
    StoreGroup(slice, 0, v);
    return v;
  }
  // `in` at the east SXM; its result goes west to slices 60.. word 1.
  void Execute(ProgramBuilder& p, int queue, const Instruction& in, int out, int width) {
    p.At(kAt, queue, in);
    Take(p, kAt + OpCycles(in.op), kSxmEast, out, 60, 1, width);
    RunWell(p);
  }
  std::vector<uint32_t> Result() { return LoadGroup<uint32_t>(60, 1); }
};

TEST_F(FunctionalSxmTest, ShiftMovesElementsUpOrDownAndWraps) {
  for (int n : {0, 1, -1, 17, -200, 319, -319}) {
    for (int wrap : {0, 1}) {
      const std::vector<uint32_t> a = RandomGroup(0);
      ProgramBuilder p;
      Bring(p, kAt, kSxmEast, E(4), 0, 0, 4);
      Execute(p, kLanesQueue, Op(Opcode::kShift, {4, n, wrap, E(4), W(8)}), W(8), 4);
      const std::vector<uint32_t> got = Result();
      for (int i = 0; i < kLanes; ++i) {
        const int from = i - n;
        const bool inside = from >= 0 && from < kLanes;
        ASSERT_EQ(got[i], inside || wrap ? a[(from + kLanes) % kLanes] : 0) << n << " lane " << i;
      }
    }
  }
}

TEST_F(FunctionalSxmTest, SelectTakesByMask) {
  const std::vector<uint32_t> a = RandomGroup(0), b = RandomGroup(4);
  Vector mask = RandomVector(random);
  for (int i = 0; i < kLanes; i += 3) mask.bytes[i] = 0;
  engine.sram().Store(8, 0, mask);
  ProgramBuilder p;
  Bring(p, kAt, kSxmEast, E(0), 0, 0, 4);
  Bring(p, kAt, kSxmEast, E(4), 4, 0, 4);
  Bring(p, kAt, kSxmEast, E(9), 8, 0);
  Execute(p, kLanesQueue, Op(Opcode::kSelect, {4, E(0), E(4), E(9), W(0)}), W(0), 4);
  const std::vector<uint32_t> got = Result();
  for (int i = 0; i < kLanes; ++i) ASSERT_EQ(got[i], mask.bytes[i] != 0 ? a[i] : b[i]) << i;
}

TEST_F(FunctionalSxmTest, PermuteTakesLaneMapI) {
  const std::vector<uint32_t> a = RandomGroup(0);
  std::vector<uint16_t> map(kLanes);
  for (int i = 0; i < kLanes; ++i) map[i] = static_cast<uint16_t>(i);
  std::shuffle(map.begin(), map.end(), random);
  StoreGroup(4, 0, map);
  ProgramBuilder p;
  Bring(p, kAt, kSxmEast, E(0), 0, 0, 4);
  Bring(p, kAt, kSxmEast, E(6), 4, 0, 2);
  Execute(p, kLanesQueue, Op(Opcode::kPermute, {4, E(0), E(6), W(0)}), W(0), 4);
  const std::vector<uint32_t> got = Result();
  for (int i = 0; i < kLanes; ++i) ASSERT_EQ(got[i], a[map[i]]) << i;
}

TEST_F(FunctionalSxmTest, DistributeTakesNibblesInEachSuperlane) {
  const std::vector<uint32_t> a = RandomGroup(0);
  const uint64_t nibbles = 0xfedc00ba98377210;
  const int zero = 0x8421;
  ProgramBuilder p;
  Bring(p, kAt, kSxmEast, E(0), 0, 0, 4);
  Execute(p, kLanesQueue,
          Op(Opcode::kDistribute, {4, static_cast<int32_t>(nibbles & 0xffffffff),
                                   static_cast<int32_t>(nibbles >> 32), zero, E(0), W(0)}),
          W(0), 4);
  const std::vector<uint32_t> got = Result();
  for (int i = 0; i < kLanes; ++i) {
    const int j = i % 16;
    const int from = i / 16 * 16 + static_cast<int>(nibbles >> (4 * j) & 15);
    ASSERT_EQ(got[i], (zero >> j & 1) != 0 ? 0 : a[from]) << i;
  }
}

TEST_F(FunctionalSxmTest, RotateGivesEveryCyclicShiftOfAMatrix) {
  for (int n : {3, 4}) {
    const Vector a = StoreRandom(0, 0);
    ProgramBuilder p;
    Bring(p, kAt, kSxmEast, E(0), 0, 0);
    Execute(p, kTransposeQueue, Op(Opcode::kRotate, {n, E(0), W(16)}), W(16), n * n);
    for (int k = 0; k < n * n; ++k) {
      const Vector got = engine.sram().Load(60 + k, 1);
      for (int lane = 0; lane < kLanes; ++lane) {
        const int r = lane % 16 / n, c = lane % 16 % n, base = lane / 16 * 16;
        const int from = base + (r + k / n) % n * n + (c + k % n) % n;
        ASSERT_EQ(got.bytes[lane], r < n ? a.bytes[from] : 0) << "stream " << k << " lane " << lane;
      }
    }
  }
}

TEST_F(FunctionalSxmTest, TransposeSwapsStreamsAndLanes) {
  std::vector<Vector> a;
  for (int i = 0; i < 16; ++i) a.push_back(StoreRandom(i, 0));
  ProgramBuilder p;
  Bring(p, kAt, kSxmEast, E(16), 0, 0, 16);
  Execute(p, kTransposeQueue, Op(Opcode::kTranspose, {E(16), W(0)}), W(0), 16);
  for (int j = 0; j < 16; ++j) {
    const Vector got = engine.sram().Load(60 + j, 1);
    for (int lane = 0; lane < kLanes; ++lane) {
      ASSERT_EQ(got.bytes[lane], a[lane % 16].bytes[lane / 16 * 16 + j]) << j << " " << lane;
    }
  }
}

}  // namespace
}  // namespace lockstep
