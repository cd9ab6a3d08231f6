// The count of pushed vectors publishes everything: a chunk, its link to the next and the vector in
// it are written before the count says so, and read only after. A full chunk gets its successor with
// the vector that needs it, so the consumer steps on only when it wants that vector.
#include "fabric/link_queue.h"

#include <cstring>

#include "chip/check.h"

namespace lockstep {

LinkQueue::~LinkQueue() {
  while (first_ != nullptr) {
    Chunk* next = first_->next;
    delete first_;
    first_ = next;
  }
  delete spare_.load(std::memory_order_acquire);
}

LinkQueue::Chunk* LinkQueue::NewChunk() {
  if (Chunk* spare = spare_.exchange(nullptr, std::memory_order_acquire)) {
    spare->next = nullptr;
    return spare;
  }
  return new Chunk;
}

void LinkQueue::Push(int64_t arrival_cycle, const void* payload) {
  const uint64_t n = pushed_.load(std::memory_order_relaxed);
  const uint64_t slot = n % kChunk;
  if (slot == 0) {
    Chunk* chunk = NewChunk();
    if (n == 0) {
      first_ = chunk;
    } else {
      last_->next = chunk;
    }
    last_ = chunk;
  }
  last_->arrival[slot] = arrival_cycle;
  last_->has_payload[slot] = payload != nullptr;
  if (payload != nullptr) {
    if (last_->payload == nullptr) {
      last_->payload = std::make_unique<std::array<Vector, kChunk>>();
    }
    std::memcpy((*last_->payload)[slot].bytes.data(), payload, kVectorBytes);
  }
  pushed_.store(n + 1);
}

bool LinkQueue::Front(LinkPort::Arrival* out) const {
  if (pushed_.load(std::memory_order_acquire) == popped_) return false;
  // A chunk emptied by the last Pop is left only now, when its successor surely exists.
  const uint64_t slot = popped_ % kChunk;
  const Chunk* chunk = slot == 0 && popped_ != 0 ? first_->next : first_;
  out->cycle = chunk->arrival[slot];
  out->payload = chunk->has_payload[slot] ? &(*chunk->payload)[slot] : nullptr;
  return true;
}

void LinkQueue::Pop() {
  LOCKSTEP_CHECK(pushed_.load(std::memory_order_acquire) != popped_, "pop of an empty link");
  if (popped_ % kChunk == 0 && popped_ != 0) {
    Chunk* emptied = first_;
    first_ = first_->next;
    delete spare_.exchange(emptied, std::memory_order_acq_rel);
  }
  ++popped_;
}

void LinkQueue::Clear() {
  while (first_ != nullptr && first_ != last_) {
    Chunk* next = first_->next;
    delete first_;
    first_ = next;
  }
  if (first_ != nullptr) delete spare_.exchange(first_, std::memory_order_acq_rel);
  first_ = last_ = nullptr;
  popped_ = 0;
  pushed_.store(0);
}

}  // namespace lockstep
