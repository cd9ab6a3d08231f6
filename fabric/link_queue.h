#pragma once
// Vectors on their way over one link, oldest first: one producer, one consumer, no bound, no lock.
//
//   consumer -> [chunk: 32 vectors] -> [chunk] -> [chunk] <- producer
//                      '---------- emptied chunks go back ---------^
//
// An emptied chunk is handed back through `spare_`, so steady traffic allocates nothing. Chunks hold
// cycles only until a vector with a payload comes: timing runs cost 8 bytes a vector.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "chip/port.h"
#include "chip/vector.h"

namespace lockstep {

class LinkQueue {
 public:
  LinkQueue() = default;
  ~LinkQueue();
  LinkQueue(const LinkQueue&) = delete;
  LinkQueue& operator=(const LinkQueue&) = delete;

  // Producer. `payload` (may be null) is copied.
  void Push(int64_t arrival_cycle, const void* payload);

  // Consumer. False if empty; the payload is valid until Pop.
  bool Front(LinkPort::Arrival* out) const;
  // REQUIRES: not empty.
  void Pop();
  uint64_t popped() const { return popped_; }

  // Any thread: how many were ever pushed. Sequentially consistent with Push, so that a consumer
  // that announces its sleep and then looks here cannot miss a producer that pushes and then looks
  // for sleepers.
  uint64_t pushed() const { return pushed_.load(); }

  // REQUIRES: neither side is active.
  void Clear();

 private:
  static constexpr uint64_t kChunk = 32;
  struct Chunk {
    std::array<int64_t, kChunk> arrival;
    std::array<bool, kChunk> has_payload;
    std::unique_ptr<std::array<Vector, kChunk>> payload;
    Chunk* next = nullptr;
  };

  Chunk* NewChunk();

  alignas(64) std::atomic<uint64_t> pushed_{0};
  Chunk* last_ = nullptr;  // producer's
  // Consumer's, but for the first chunk, which the producer installs before the first Push counts.
  alignas(64) Chunk* first_ = nullptr;
  uint64_t popped_ = 0;
  std::atomic<Chunk*> spare_{nullptr};
};

}  // namespace lockstep
