#pragma once
// A ring of bytes in memory that two processes share, and the bell that wakes a sleeping process.
//
//   producer writes at tail        consumer reads at head       0 <= tail - head <= capacity
//
// The layout is plain: zeroed memory is an empty ring and a silent bell, so whoever maps the window
// first needs to do nothing. One producer, one consumer. A full ring never blocks: Write takes what
// fits, and the producer asks to be rung when there is space.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>

namespace lockstep {

// One a process. Whoever has news for it rings; that is a system call only if it sleeps.
struct alignas(64) Bell {
  std::atomic<uint32_t> rings;
  std::atomic<uint32_t> asleep;

  // After the news is published (sequentially consistent stores).
  void Ring();
  // Sleeps until rung, or `timeout_us` passed (negative: no limit), unless `news()` already holds.
  // May also return early for no reason.
  template <typename News>
  void Sleep(int64_t timeout_us, News news) {
    const uint32_t heard = rings.load();
    asleep.store(1);
    if (!news()) WaitFor(heard, timeout_us);
    asleep.store(0);
  }

 private:
  void WaitFor(uint32_t heard, int64_t timeout_us);
};

struct RingHeader {
  alignas(64) std::atomic<uint64_t> tail;  // producer's
  alignas(64) std::atomic<uint64_t> head;  // consumer's
  std::atomic<uint32_t> wants_space;
};

class ByteRing {
 public:
  ByteRing() = default;
  // `memory`: header, then `capacity` bytes, a power of two. Not owned.
  ByteRing(void* memory, uint64_t capacity)
      : header_(static_cast<RingHeader*>(memory)),
        data_(static_cast<char*>(memory) + sizeof(RingHeader)),
        capacity_(capacity) {}
  static constexpr uint64_t Footprint(uint64_t capacity) { return sizeof(RingHeader) + capacity; }

  bool exists() const { return header_ != nullptr; }
  bool empty() const { return header_->tail.load() == header_->head.load(); }
  bool full() const { return header_->tail.load() - header_->head.load() == capacity_; }

  // Producer: as many of the bytes as fit; their number. Fewer than `size`: will be rung for space.
  uint64_t Write(const char* bytes, uint64_t size) {
    uint64_t done = WriteSome(bytes, size);
    if (done == size) return done;
    header_->wants_space.store(1);
    return done + WriteSome(bytes + done, size - done);
  }

  // Consumer: appends all there is to `out`. True if the producer waits for space: ring it.
  bool ReadAll(std::string* out) {
    const uint64_t head = header_->head.load(std::memory_order_relaxed);
    const uint64_t tail = header_->tail.load(std::memory_order_acquire);
    if (head == tail) return false;
    const uint64_t at = head & (capacity_ - 1);
    const uint64_t first = std::min(tail - head, capacity_ - at);
    out->append(data_ + at, first);
    out->append(data_, tail - head - first);
    header_->head.store(tail);
    return header_->wants_space.load() != 0 && header_->wants_space.exchange(0) != 0;
  }

 private:
  uint64_t WriteSome(const char* bytes, uint64_t size) {
    const uint64_t tail = header_->tail.load(std::memory_order_relaxed);
    const uint64_t n = std::min(size, capacity_ - (tail - header_->head.load()));
    const uint64_t at = tail & (capacity_ - 1);
    const uint64_t first = std::min(n, capacity_ - at);
    std::memcpy(data_ + at, bytes, first);
    std::memcpy(data_, bytes + first, n - first);
    header_->tail.store(tail + n);
    return n;
  }

  RingHeader* header_ = nullptr;
  char* data_ = nullptr;
  uint64_t capacity_ = 0;
};

static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(std::atomic<uint32_t>::is_always_lock_free && sizeof(std::atomic<uint32_t>) == 4);

}  // namespace lockstep
