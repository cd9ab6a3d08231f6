// SRAM reads as zero, keeps what is stored, spends only what is touched, and tells its listener.
#include "chip/sram.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

Vector Filled(uint8_t byte) {
  Vector v;
  v.bytes.fill(byte);
  return v;
}

TEST(SramTest, NeverWrittenWordsReadAsZero) {
  const Sram sram;
  EXPECT_EQ(sram.Load(0, 0), Vector{});
  EXPECT_EQ(sram.Load(kSlices - 1, kWordsPerSlice - 1), Vector{});
}

TEST(SramTest, WordsDoNotOverlap) {
  Sram sram(Sram::Pages::kSmall);
  const std::vector<std::pair<int, int>> places = {
      {0, 0}, {0, 1}, {0, kWordsPerSlice - 1}, {1, 0}, {43, 4095}, {43, 4096}, {87, 8191}};
  for (size_t i = 0; i < places.size(); ++i) {
    sram.Store(places[i].first, places[i].second, Filled(static_cast<uint8_t>(i + 1)));
  }
  for (size_t i = 0; i < places.size(); ++i) {
    EXPECT_EQ(sram.Load(places[i].first, places[i].second), Filled(static_cast<uint8_t>(i + 1)));
  }
}

TEST(SramTest, IsBackedOnlyWhereItWasTouched) {
  Sram sram(Sram::Pages::kSmall);
  EXPECT_LT(sram.TouchedBytes(), 1 << 20);
  for (int a = 0; a < kWordsPerSlice; ++a) sram.Store(3, a, Filled(1));
  EXPECT_GE(sram.TouchedBytes(), kWordsPerSlice * kVectorBytes);
  EXPECT_LT(sram.TouchedBytes(), kWordsPerSlice * kVectorBytes + (1 << 20));
}

TEST(SramTest, WordsAreAlignedForSimd) {
  Sram sram;
  for (int s = 0; s < kSlices; ++s) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(sram.Word(s, 7)) % 64, 0u) << s;
  }
}

TEST(SramTest, TheListenerHearsBeforeAWordChanges) {
  struct Hears : Sram::Listener {
    explicit Hears(Sram& sram) : sram(sram) {}
    void BeforeOverwrite(int slice, int address) override { old = sram.Load(slice, address); }
    Sram& sram;
    Vector old;
  };
  Sram sram;
  sram.Store(1, 2, Filled(9));
  Hears hears(sram);
  sram.set_listener(&hears);
  sram.Store(1, 2, Filled(8));
  EXPECT_EQ(hears.old, Filled(9));
}

}  // namespace
}  // namespace lockstep
