#pragma once
// One chip for the tests of kernels: store operands, place kernels, run, load results.
//
//   OneChip chip;
//   chip.Store(x, values);
//   chip.kernels.ToHalf(x, 3, y);
//   chip.Run();
//   chip.Load16(y, 3)
//
// Every run is made by both engines: no faults, and the same timing digest.
//
// Bounds of rounding, for the tolerances of the tests:
//   fp32  an operation is off by at most kUlp32 of its result (2^-24, to nearest)
//   fp16  a conversion by HalfError(x): 2^-11 of x, or half of the smallest subnormal

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "chip/functional.h"
#include "chip/half.h"
#include "chip/no_links.h"
#include "chip/timing.h"
#include "gtest/gtest.h"
#include "runtime/compiler/image.h"
#include "runtime/kernels/kernels.h"
#include "runtime/run/engine_memory.h"

namespace lockstep {

inline constexpr double kUlp32 = 0x1p-24;
inline double HalfError(double x) { return std::max(std::abs(x) * 0x1p-11, 0x1p-25); }

inline std::vector<float> RandomFloats(std::mt19937& random, size_t count, double low = -1,
                                       double high = 1) {
  std::vector<float> out(count);
  for (float& v : out) v = static_cast<float>(low + (high - low) * (random() * 0x1p-32));
  return out;
}
inline std::vector<uint16_t> Halves(const std::vector<float>& values) {
  std::vector<uint16_t> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), FloatToHalf);
  return out;
}
inline std::vector<float> Rounded16(std::vector<float> values) {
  for (float& v : values) v = HalfToFloat(FloatToHalf(v));
  return values;
}

class OneChip {
 public:
  explicit OneChip(const ChipTiming& table = ChipTiming::Default())
      : timing(table),
        engine(0, timing, nullptr, Sram::Pages::kSmall),
        check(0, timing),
        memory(engine.sram()) {}

  const ChipTiming timing;
  Placer placer{timing};
  Kernels kernels{timing, placer};
  FunctionalEngine engine;
  TimingEngine check;
  EngineMemory memory;
  std::mt19937 random{7};

  // Values into consecutive words, 320 each; the last word's other lanes stay.
  void Store(Quad at, const std::vector<float>& values) {
    for (size_t i = 0; i < values.size(); i += kLanes) {
      const size_t n = std::min<size_t>(kLanes, values.size() - i);
      StoreQuad(memory, at + static_cast<int>(i / kLanes), std::span(values).subspan(i, n));
    }
  }
  void Store(Pair at, const std::vector<uint16_t>& values) {
    for (size_t i = 0; i < values.size(); i += kLanes) {
      const size_t n = std::min<size_t>(kLanes, values.size() - i);
      StorePair(memory, at + static_cast<int>(i / kLanes), std::span(values).subspan(i, n));
    }
  }
  void Fill(Quad at, int words, float value) {
    Store(at, std::vector<float>(size_t{static_cast<unsigned>(words)} * kLanes, value));
  }
  std::vector<float> Load(Quad at, int words) const {
    std::vector<float> out;
    for (int w = 0; w < words; ++w) {
      const std::vector<float> word = LoadQuad(memory, at + w);
      out.insert(out.end(), word.begin(), word.end());
    }
    return out;
  }
  std::vector<float> Load16(Pair at, int words) const {
    std::vector<float> out;
    std::array<uint8_t, kVectorBytes> low, high;
    for (int w = 0; w < words; ++w) {
      memory.Load(ColumnSlice(at.side, at.column, at.plane), at.address + w, low);
      memory.Load(ColumnSlice(at.side, at.column, at.plane + 1), at.address + w, high);
      for (int i = 0; i < kLanes; ++i) {
        out.push_back(HalfToFloat(static_cast<uint16_t>(low[i] | high[i] << 8)));
      }
    }
    return out;
  }
  // The address in every superlane of a map's word (first lanes of superlanes [from, to)).
  void StoreMap(Single at, int value, int from = 0, int to = kSuperlanes) {
    std::array<uint8_t, kVectorBytes> bytes{};
    for (int s = 0; s < kSuperlanes; ++s) {
      const int v = s >= from && s < to ? value : 0xffff;
      bytes[s * kLanesPerSuperlane] = static_cast<uint8_t>(v);
      bytes[s * kLanesPerSuperlane + 1] = static_cast<uint8_t>(v >> 8);
    }
    memory.Store(ColumnSlice(at.side, at.column, at.plane), at.address, 0, bytes);
  }
  void StoreMatrix(const Matrix& m, const std::vector<float>& w, int columns) {
    const LaneStore store = [&](int slice, int address, int lane, const uint8_t* bytes) {
      memory.Store(slice, address, lane, {bytes, kHalfLanes});
    };
    std::array<uint16_t, kHalfLanes> values;
    for (int row = 0; row < m.rows; ++row) {
      for (int slot = 0; slot < m.slots; ++slot) {
        values.fill(0);
        for (int k = 0; k < kHalfLanes && slot * kHalfLanes + k < columns; ++k) {
          values[k] =
              FloatToHalf(w[size_t{static_cast<unsigned>(row)} * columns + slot * kHalfLanes + k]);
        }
        StoreWeightRow(m, row, slot, values.data(), store);
      }
    }
  }

  // Runs all kernels placed so far, from the first.
  void Run() {
    if (schedule_ == nullptr || placer.spans().size() != placed_) {
      placed_ = placer.spans().size();
      DispatchResult result = Dispatch(placer.Finish(), timing);
      ASSERT_FALSE(result.fault) << result.fault->ToString();
      schedule_ = std::make_shared<const Schedule>(std::move(result.schedule));
    }
    NoLinks links;
    engine.Start(schedule_);
    ASSERT_EQ(engine.Run(links), EngineState::kDone) << engine.fault().ToString();
    check.Start(schedule_);
    ASSERT_EQ(check.Run(links), EngineState::kDone) << check.fault().ToString();
    ASSERT_EQ(engine.timing_digest(), check.timing_digest());
  }

 private:
  std::shared_ptr<const Schedule> schedule_;
  size_t placed_ = 0;
};

// Whether every lane is within its tolerance; says where it is not.
template <typename Tolerance>
::testing::AssertionResult AllNear(const std::vector<float>& got, const std::vector<double>& want,
                                   const Tolerance& tolerance) {
  if (got.size() != want.size()) {
    return ::testing::AssertionFailure() << got.size() << " values, wanted " << want.size();
  }
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(got[i] - want[i]), allowed = tolerance(i);
    if (!(error <= allowed)) {
      return ::testing::AssertionFailure() << "element " << i << " is " << got[i] << ", wanted "
                                           << want[i] << " within " << allowed;
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace lockstep
