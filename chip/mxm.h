#pragma once
// The four MXM planes of the functional engine (docs/machine.md, MXM).
//
// Weights are held by reference: LW keeps pointers to the SRAM words its streams come from (only
// other values are copied), IW swaps buffer and array, a dot product reads the rows where they lie.
// Before such a word changes, SaveWord() copies the rows that lie in it.
//
// Feeds are multiplied when a result is first taken, together with others that wait on the same
// weights (the arithmetic is exact, so batching cannot show), or before the weights change.

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "chip/core.h"
#include "chip/mem.h"
#include "chip/numerics.h"

namespace lockstep {

class MxmUnit : public WordHolder {
 public:
  explicit MxmUnit(Core& core);

  // Results in flight are lost; weights, activations and accumulators stay.
  void Restart();
  bool Lw(const Dispatched& d);
  bool Iw(const Dispatched& d);
  bool AbcLoad(const Dispatched& d);
  bool AbcFeed(const Dispatched& d);
  bool AbcStream(const Dispatched& d);
  bool Acc(const Dispatched& d);

  void SaveWord(int slice, const uint8_t* word) override;

 private:
  static constexpr int kRows = 320, kHalf = kFp16Terms, kNoType = -1;
  static constexpr int kAbcVectors = 64, kAccumulators = 16, kMaxBatch = 16;

  // The rows of one weight buffer or array. Of f16 both planes' are in the even plane's.
  struct Weights {
    int bit;             // which bit of WordHolder::holders
    int type = kNoType;  // buffer: of the rows loaded; array: of what is installed
    std::array<uint64_t, kRows / 64> loaded{};
    std::array<Fp16Row, kRows> rows16;
    std::array<const uint8_t*, kRows> rows8{};
    std::unique_ptr<uint8_t[]> copies;  // 320 B a row; f16: low bytes, then high bytes
    // The lowest and highest word held, by slice, where `holders` has our bit.
    std::array<const uint8_t*, kSlices> lowest{}, highest{};
    std::vector<uint8_t> slices;

    uint8_t* Copy(int row);
  };
  struct Result {
    int64_t leaves;
    int type;
    bool computed;
    alignas(64) float activation[kHalf];     // f16
    alignas(64) uint8_t bytes[kInt8Terms];   // i8
    alignas(64) uint32_t value[kRows];
  };
  struct Plane {
    std::unique_ptr<Weights> buffer, array;
    int installed = kNoType;
    int64_t busy_until = 0, last_feed = -1;
    std::array<int8_t, kAbcVectors> abc_type;
    alignas(64) uint8_t abc8[kAbcVectors][kInt8Terms];
    alignas(64) float abc16[kAbcVectors / 2][2 * kHalf];
    std::vector<std::unique_ptr<Result>> results;  // a ring of [head, head + count)
    size_t head = 0, count = 0;
    std::array<int8_t, kAccumulators> acc_type;
    alignas(64) uint32_t acc[kAccumulators][kRows];

    Result& at(size_t i) { return *results[(head + i) % results.size()]; }
  };

  bool CheckLw(const Dispatched& d, int type, int rows);
  void LoadRow8(Weights& w, int row, const Streams::Entry& e);
  struct Halves {
    const uint8_t *first, *second;  // of a word: rows r and r + 160
  };
  Halves LoadPlane16(Weights& w, int row, int plane, const Streams::Entry& e);
  void LoadPair16(Weights& w, int row, const Streams::Entry& lo, const Streams::Entry& hi);
  const uint8_t* Hold(Weights& w, const Streams::Entry& e);  // REQUIRES: e is a word of a slice
  void Forget(Weights& w);
  static void SaveRows(Weights& w, const uint8_t* word);
  bool EvenOnly(const Dispatched& d, int type);
  bool CheckFeed(const Dispatched& d, int type);
  Result& NewResult(Plane& plane, int64_t cycle);
  void Compute(Plane& plane);
  Plane& plane(int p) { return *planes_[p]; }
  static int PlaneOfQueue(int queue) { return (queue - kMxmQueue0) / 4; }

  Core& core_;
  std::array<std::unique_ptr<Plane>, kPlanes> planes_;
};

}  // namespace lockstep
