#pragma once
// The 220 MiB of on-chip SRAM: 88 slices x 8192 words x 320 B, slice after slice.
//
//   reserved address space   [slice 0: word 0, word 1, ... 8191][slice 1: ...] ... [slice 87]
//   backed by memory         only the pages that something touched
//
// Never-written words read as zero. Word pointers stay valid as long as the Sram; engines hold such
// pointers instead of copies, so whoever changes a word through Store() first tells the listener.

#include <cstdint>

#include "chip/geometry.h"
#include "chip/vector.h"

namespace lockstep {

class Sram {
 public:
  // kHuge asks the host for 2 MiB pages: few faults when much is written (weights). kSmall spends
  // 4 KiB for a touched word: right for sparse use.
  enum class Pages : uint8_t { kSmall, kHuge };
  // Large ones back at least a page of every slice, so only where most of SRAM is used.
  static constexpr Pages PagesFor(int64_t used_bytes) {
    return used_bytes > kSramBytes / 2 ? Pages::kHuge : Pages::kSmall;
  }

  // Told before a word changes, so that it can save the old bytes where it still needs them.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void BeforeOverwrite(int slice, int address) = 0;
  };

  explicit Sram(Pages pages = Pages::kHuge);
  ~Sram();
  Sram(const Sram&) = delete;
  Sram& operator=(const Sram&) = delete;

  // The host's accesses, between runs. REQUIRES: 0 <= slice < 88, 0 <= address < 8192.
  void Store(int slice, int address, const Vector& value);
  Vector Load(int slice, int address) const;
  void set_listener(Listener* listener) { listener_ = listener; }  // not owned

  // The 320 bytes of a word, aligned to 64; unchecked. Writers tell the holders themselves.
  uint8_t* Word(int slice, int address) { return base_ + Offset(slice, address); }
  const uint8_t* Word(int slice, int address) const { return base_ + Offset(slice, address); }

  // Bytes of pages the host has backed (pages that were only read may count). A multiple of 4096.
  int64_t TouchedBytes() const;

 private:
  static int64_t Offset(int slice, int address) {
    return slice * kSliceStride + int64_t{address} * kVectorBytes;
  }
  // Slices lie a few cache lines more than their size apart: equal addresses of all slices, which
  // programs like to use together, would else share one set of the host's caches.
  static constexpr int64_t kSliceStride = int64_t{kWordsPerSlice} * kVectorBytes + 21 * 64;
  static constexpr int64_t kReserved = kSlices * kSliceStride;

  uint8_t* base_;
  Listener* listener_ = nullptr;
};

}  // namespace lockstep
