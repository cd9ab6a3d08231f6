// Fetched text against the program's (chip/fetch.h).
#include "chip/fetch.h"

#include "absl/strings/str_format.h"

namespace lockstep {

void FetchUnit::Restart(const Schedule& schedule) {
  texts_.fill(nullptr);
  for (const QueueText& text : schedule.texts) texts_[text.queue] = &text.bytes;
  fetched_.fill(kQueueBytes);
  seconds_.clear();
}

bool FetchUnit::Fetch(const Dispatched& d) {
  int64_t& fetched = fetched_[d.queue()];
  if (!Take(d, d.cycle, fetched)) return false;
  seconds_.push_back({&d.run, d.i, d.cycle + 1, d.position, &d.age, fetched + kVectorBytes});
  fetched += kFetchBytes;
  return true;
}

bool FetchUnit::FetchNext() {
  const Second s = seconds_.front();
  seconds_.pop_front();
  return Take({*s.run, s.i, s.cycle, s.position, *s.age}, s.cycle, s.offset);
}

bool FetchUnit::Take(const Dispatched& d, int64_t cycle, int64_t offset) {
  const Streams::Entry* entry = core_.ReadIn(d, d.arg(0), cycle);
  if (entry == nullptr) return false;
  const std::string* text = texts_[d.queue()];
  if (text == nullptr) return true;
  uint8_t scratch[kLanes];
  const uint8_t* bytes = PlaneOf(*entry, scratch);
  for (int i = 0; i < kVectorBytes; ++i) {
    const size_t at = static_cast<size_t>(offset + i);
    const uint8_t want = at < text->size() ? static_cast<uint8_t>((*text)[at]) : 0;
    if (bytes[i] == want) continue;
    return core_.FailAt(FaultKind::kQueueEmpty, d, cycle,
                        absl::StrFormat("byte %d of the queue's text is 0x%02x, fetched was 0x%02x",
                                        at, want, bytes[i]));
  }
  return true;
}

}  // namespace lockstep
