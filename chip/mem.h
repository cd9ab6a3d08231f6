#pragma once
// The 88 MEM slices of the functional engine: read, write, gather, scatter, and the words that
// receives store (docs/machine.md, MEM).
//
// A read puts a pointer to its word on the stream, not a copy. So before a word changes, values that
// still flow from it are saved (here) and weight rows held in it too (by WordHolder, the MXM).

#include <array>
#include <cstdint>
#include <vector>

#include "chip/core.h"

namespace lockstep {

// Whoever keeps pointers to SRAM words for longer than streams flow.
class WordHolder {
 public:
  virtual ~WordHolder() = default;
  virtual void SaveWord(int slice, const uint8_t* word) = 0;
  // Bit c is set if container c may hold words of slice s; 0: SaveWord need not be called.
  std::array<uint8_t, kSlices> holders{};
};

class MemUnit : public Sram::Listener {
 public:
  // Both outlive this.
  MemUnit(Core& core, WordHolder& holder);

  void Restart();
  bool Read(const Dispatched& d);
  bool Write(const Dispatched& d);
  bool Gather(const Dispatched& d);
  bool Scatter(const Dispatched& d);
  bool Config(const Dispatched& d);
  // A received vector's access in `cycle`, after the MEM dispatches of that cycle.
  bool StoreReceived(const Dispatched& d, int slice, int address, int64_t cycle,
                     const Vector& value);

  // The host stores a word between runs.
  void BeforeOverwrite(int slice, int address) override;

 private:
  struct alignas(64) Slice {
    int64_t last_read, last_write;
    int64_t last_bank[kBanksPerSlice];
    int64_t last_flow;  // last cycle in which a word was put on a stream by reference
  };

  bool TakePort(const Dispatched& d, Slice& slice, int64_t& port, int bank, int64_t cycle);
  bool TakeBothBanks(const Dispatched& d, Slice& slice, int64_t& port);
  bool ReadPartly(const Dispatched& d, const uint8_t* word);
  // The map of gather and scatter as 20 addresses (-1: none) in `out`.
  bool Addresses(const Dispatched& d, const uint8_t* map, int superlanes, int32_t out[kSuperlanes]);
  void SaveFlowing(int slice, int address, int64_t cycle);
  void Overwrite(int slice, int address, int64_t cycle) {
    if (slices_[slice].last_flow + window_ >= cycle) SaveFlowing(slice, address, cycle);
    if (holder_.holders[slice] != 0) holder_.SaveWord(slice, core_.sram.Word(slice, address));
  }
  int powered(int64_t cycle) {
    return cycle > config_cycle_ ? config_next_ : config_now_;
  }

  Core& core_;
  WordHolder& holder_;
  std::array<Slice, kSlices> slices_;
  // The read of cycle t of slice s, at [s * depth + t % depth]. Stale ones are harmless: no stream
  // entry of that cycle and word is found for them.
  int64_t window_;  // cycles after a read's dispatch in which its value may still flow
  int64_t depth_;
  std::vector<uint16_t> recent_address_;
  std::vector<uint8_t> recent_stream_;
  int config_now_ = kSuperlanes, config_next_ = kSuperlanes;
  int64_t config_cycle_ = -1;
};

}  // namespace lockstep
