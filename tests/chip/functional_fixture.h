#pragma once
// One chip with the functional engine, for tests that speak in reads, operations and writes.

#include <cstring>
#include <string>
#include <vector>

#include "chip/functional.h"
#include "gtest/gtest.h"
#include "tests/chip/program_builder.h"

namespace lockstep {

class FunctionalTest : public ::testing::Test {
 protected:
  // Places of slices used as sources (west of the VXM) and sinks (east of it).
  static constexpr int kFrom = 0, kTo = kSlicesPerHemisphere;

  EngineState Run(const ProgramBuilder& p) {
    engine.Start(p.Scheduled());
    return engine.Run(links);
  }
  void RunWell(const ProgramBuilder& p) {
    ASSERT_EQ(Run(p), EngineState::kDone)
        << "fault " << static_cast<int>(engine.fault().kind) << " in cycle "
        << engine.fault().cycle << " of queue " << engine.fault().queue << ": "
        << engine.fault().detail;
  }
  void ExpectFault(const ProgramBuilder& p, FaultKind kind, int64_t cycle, int queue) {
    ASSERT_EQ(Run(p), EngineState::kFault) << "no fault";
    EXPECT_EQ(static_cast<int>(engine.fault().kind), static_cast<int>(kind))
        << engine.fault().detail;
    EXPECT_EQ(engine.fault().cycle, cycle);
    EXPECT_EQ(engine.fault().queue, queue);
    // The engine is fit for another program.
  }

  // Adds reads so that stream group `stream` holds words address.. of slices slice.. (one plane a
  // slice) at `position` in `cycle`.
  static void Bring(ProgramBuilder& p, int64_t cycle, int position, int stream, int slice,
                    int address, int width = 1) {
    for (int j = 0; j < width; ++j) {
      const int hops = std::abs(position - SlicePosition(slice + j));
      p.At(cycle - hops - OpCycles(Opcode::kRead), MemQueue(slice + j),
           Op(Opcode::kRead, {address, 0, stream + j}));
    }
  }
  // Adds writes of the group that stands at `position` in `cycle`.
  static void Take(ProgramBuilder& p, int64_t cycle, int position, int stream, int slice,
                   int address, int width = 1) {
    for (int j = 0; j < width; ++j) {
      const int hops = std::abs(position - SlicePosition(slice + j));
      p.At(cycle + hops, MemQueue(slice + j), Op(Opcode::kWrite, {address, 0, stream + j}));
    }
  }

  // Values as byte planes over slices slice.., at one address.
  template <typename T>
  void StoreGroup(int slice, int address, const std::vector<T>& values) {
    for (size_t j = 0; j < sizeof(T); ++j) {
      Vector v;
      for (int i = 0; i < kLanes; ++i) {
        std::memcpy(&v.bytes[i], reinterpret_cast<const char*>(&values[i]) + j, 1);
      }
      engine.sram().Store(slice + static_cast<int>(j), address, v);
    }
  }
  template <typename T>
  std::vector<T> LoadGroup(int slice, int address) {
    std::vector<T> values(kLanes);
    for (size_t j = 0; j < sizeof(T); ++j) {
      const Vector v = engine.sram().Load(slice + static_cast<int>(j), address);
      for (int i = 0; i < kLanes; ++i) {
        std::memcpy(reinterpret_cast<char*>(&values[i]) + j, &v.bytes[i], 1);
      }
    }
    return values;
  }
  Vector StoreRandom(int slice, int address) {
    const Vector v = RandomVector(random);
    engine.sram().Store(slice, address, v);
    return v;
  }

  std::mt19937 random{42};
  FakeLinks links;
  FunctionalEngine engine{5, ChipTiming::Default()};
};

}  // namespace lockstep
