#pragma once
// SRAM of a functional engine as the host's DMA sees it, through the access that keeps what still
// flows.

#include <algorithm>

#include "chip/sram.h"
#include "runtime/compiler/image.h"

namespace lockstep {

class EngineMemory : public HostMemory {
 public:
  explicit EngineMemory(Sram& sram) : sram_(sram) {}  // outlives this

  void Store(int slice, int address, int lane, std::span<const uint8_t> bytes) override {
    Vector word = sram_.Load(slice, address);
    std::copy(bytes.begin(), bytes.end(), word.bytes.begin() + lane);
    sram_.Store(slice, address, word);
  }
  void Load(int slice, int address, std::span<uint8_t, kVectorBytes> out) const override {
    const Vector word = sram_.Load(slice, address);
    std::copy(word.bytes.begin(), word.bytes.end(), out.begin());
  }

 private:
  Sram& sram_;
};

}  // namespace lockstep
