// The rarer cases of streams (chip/streams.h): several writes on one diagonal, growth.
#include "chip/streams.h"

#include <new>

namespace lockstep {

const Streams::Entry* Streams::FindAmong(const Slot& slot, int u) const {
  const Entry* best = nullptr;
  for (int i = 0; i < slot.count; ++i) {
    const Entry& e = At(slot, i);
    if (e.place <= u && (best == nullptr || e.place > best->place)) best = &e;
  }
  return best;
}

bool Streams::EnterAmong(Slot& slot, const Entry& entry) {
  for (int i = 0; i < slot.count; ++i) {
    if (At(slot, i).place == entry.place) return false;
  }
  if (slot.more < 0) {
    slot.more = static_cast<int32_t>(pages_.size());
    pages_.push_back(std::make_unique<Page>());
  }
  At(slot, slot.count++) = entry;
  return true;
}

Streams::Entry* Streams::FindExact(int stream, int u, int64_t cycle, const uint8_t* data) {
  const int64_t diagonal = cycle - u;
  Slot& slot = slots_[(diagonal & mask_) * kStreams + stream];
  if (slot.diagonal != diagonal) return nullptr;
  for (int i = 0; i < slot.count; ++i) {
    Entry& e = At(slot, i);
    if (e.place == u && e.data == data) return &e;
  }
  return nullptr;
}

BufferRing::~BufferRing() {
  for (uint8_t* block : blocks_) operator delete(block, std::align_val_t{64});
}

void BufferRing::Grow() {
  constexpr int kMore = 32;
  auto* block = static_cast<uint8_t*>(operator new(kMore * bytes_, std::align_val_t{64}));
  blocks_.push_back(block);
  std::vector<Buffer> more;
  for (int i = 0; i < kMore; ++i) more.push_back({block + i * bytes_, INT64_MIN});
  ring_.insert(ring_.begin() + static_cast<int64_t>(next_), more.begin(), more.end());
}

}  // namespace lockstep
