#pragma once
// The 64 streams of the functional engine, as diagonals: nothing is ever shifted.
//
//   upstream place u of a position: p (east), 26 - p (west); every value flows towards higher u
//   diagonal of a value at u in cycle t: t - u, the same for as long as it flows
//
//   slots[diagonal mod depth][stream] -> entries (u, where the bytes are), one for each write on that
//   diagonal. A reader at u sees the entry with the largest place <= u.
//
// A result is entered when its instruction dispatches, with the later cycle in which it stands on
// the stream. As every d_func is at least 1, whoever reads it dispatches afterwards. Bytes are held by
// reference: in SRAM, or in a buffer that outlives every possible reader.

#include <cstdint>
#include <memory>
#include <vector>

#include "chip/geometry.h"
#include "chip/isa.h"

namespace lockstep {

inline constexpr uint8_t kNoSlice = 255;

// Where a stream value's 320 bytes are.
struct Payload {
  const uint8_t* data = nullptr;  // width 1: 320 bytes; else a native array of 320 x width bytes
  uint8_t width = 1;              // bytes of an element of the array
  uint8_t plane = 0;              // which byte of each element is this stream's
  uint8_t slice = kNoSlice;       // the MEM slice whose word `data` is, if it is one
};

class Streams {
 public:
  struct Entry {
    const uint8_t* data;
    int8_t place;
    uint8_t width, plane, slice;
  };

  // longest_d_func: the most cycles an entry may lie ahead of the dispatch that makes it.
  explicit Streams(int longest_d_func) {
    int64_t depth = 64;
    while (depth < longest_d_func + 2 * kPositions) depth *= 2;
    mask_ = depth - 1;
    slots_.resize(depth * kStreams);
    Clear();
  }

  void Clear() {
    for (Slot& slot : slots_) slot.diagonal = kNever, slot.count = 0;
  }

  static int Place(int stream, int position) {
    return stream < kStreamsPerDirection ? position : kPositions - 1 - position;
  }

  // What stands on `stream` at upstream place u in `cycle`; null if nothing does.
  const Entry* Find(int stream, int u, int64_t cycle) const {
    const int64_t diagonal = cycle - u;
    const Slot& slot = slots_[(diagonal & mask_) * kStreams + stream];
    if (slot.diagonal != diagonal) return nullptr;
    if (slot.count == 1) [[likely]] return slot.first.place <= u ? &slot.first : nullptr;
    return FindAmong(slot, u);
  }

  // Puts a value on `stream` at place u in `cycle`; false: another stands there already.
  bool Enter(int stream, int u, int64_t cycle, const Payload& p) {
    const int64_t diagonal = cycle - u;
    Slot& slot = slots_[(diagonal & mask_) * kStreams + stream];
    if (slot.diagonal != diagonal) [[likely]] {
      slot.diagonal = diagonal;
      slot.count = 1;
      slot.first = {p.data, static_cast<int8_t>(u), p.width, p.plane, p.slice};
      return true;
    }
    return EnterAmong(slot, {p.data, static_cast<int8_t>(u), p.width, p.plane, p.slice});
  }

  // The entry made at exactly this place and cycle whose bytes are at `data`; null if there is none.
  Entry* FindExact(int stream, int u, int64_t cycle, const uint8_t* data);

 private:
  static constexpr int kStreams = 2 * kStreamsPerDirection;
  static constexpr int64_t kNever = INT64_MIN;

  struct alignas(8) Slot {
    int64_t diagonal = kNever;
    Entry first;
    int32_t count = 0;
    int32_t more = -1;  // page of the second and later entries; kept when the slot is used anew
  };
  using Page = std::array<Entry, kPositions>;

  const Entry* FindAmong(const Slot& slot, int u) const;
  bool EnterAmong(Slot& slot, const Entry& entry);
  Entry& At(Slot& slot, int i) { return i == 0 ? slot.first : (*pages_[slot.more])[i - 1]; }
  const Entry& At(const Slot& slot, int i) const {
    return i == 0 ? slot.first : (*pages_[slot.more])[i - 1];
  }

  int64_t mask_;
  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<Page>> pages_;
};

// Buffers for results, used in turn. One is used again only when `lifetime` cycles have passed
// since it was taken; if none is that old, more are made.
class BufferRing {
 public:
  BufferRing(int bytes, int64_t lifetime) : bytes_(bytes), lifetime_(lifetime) {}
  ~BufferRing();
  BufferRing(const BufferRing&) = delete;
  BufferRing& operator=(const BufferRing&) = delete;

  // 64-byte aligned, contents undefined. Cycles never go back except by Clear().
  uint8_t* Take(int64_t cycle) {
    if (next_ == ring_.size()) next_ = 0;
    if (ring_.empty() || ring_[next_].free_at > cycle) [[unlikely]] Grow();
    Buffer& buffer = ring_[next_++];
    buffer.free_at = cycle + lifetime_;
    return buffer.bytes;
  }
  void Clear() {
    for (Buffer& buffer : ring_) buffer.free_at = INT64_MIN;
  }

 private:
  struct Buffer {
    uint8_t* bytes;
    int64_t free_at;
  };
  void Grow();

  const int bytes_;
  const int64_t lifetime_;
  std::vector<Buffer> ring_;
  std::vector<uint8_t*> blocks_;
  size_t next_ = 0;
};

}  // namespace lockstep
