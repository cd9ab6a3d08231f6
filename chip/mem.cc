// MEM slices (chip/mem.h).
#include "chip/mem.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {
constexpr int64_t kLongAgo = INT64_MIN / 2;
constexpr int kReadCycles = static_cast<int>(Opcode::kRead);
constexpr uint16_t kNoWord = 0xffff;

int Bank(int address) { return address / kWordsPerBank; }
}  // namespace

MemUnit::MemUnit(Core& core, WordHolder& holder) : core_(core), holder_(holder) {
  window_ = core.timing.d_func[kReadCycles] + kPositions;
  depth_ = 32;
  while (depth_ <= window_) depth_ *= 2;
  recent_address_.resize(kSlices * depth_);
  recent_stream_.resize(kSlices * depth_);
  Restart();
}

void MemUnit::Restart() {
  slices_.fill({kLongAgo, kLongAgo, {kLongAgo, kLongAgo}, kLongAgo});
  config_now_ = config_next_ = kSuperlanes;
  config_cycle_ = -1;
}

bool MemUnit::TakePort(const Dispatched& d, Slice& slice, int64_t& port, int bank, int64_t cycle) {
  if (port == cycle) [[unlikely]] {
    return core_.FailAt(FaultKind::kPortConflict, d, cycle,
                        &port == &slice.last_read ? "a second read" : "a second write");
  }
  if (slice.last_bank[bank] == cycle) [[unlikely]] {
    return core_.FailAt(FaultKind::kBankConflict, d, cycle, absl::StrCat("bank ", bank));
  }
  port = slice.last_bank[bank] = cycle;
  return true;
}

bool MemUnit::TakeBothBanks(const Dispatched& d, Slice& slice, int64_t& port) {
  if (!TakePort(d, slice, port, 0, d.cycle)) return false;
  if (slice.last_bank[1] == d.cycle) {
    return core_.Fail(FaultKind::kBankConflict, d, "bank 1, by an access of both");
  }
  slice.last_bank[1] = d.cycle;
  return true;
}

bool MemUnit::Read(const Dispatched& d) {
  const int s = d.queue();
  Slice& slice = slices_[s];
  const int address = d.Strided(0);
  if (!TakePort(d, slice, slice.last_read, Bank(address), d.cycle)) return false;
  const uint8_t* word = core_.sram.Word(s, address);
  if (powered(d.cycle) != kSuperlanes) [[unlikely]] return ReadPartly(d, word);
  const int stream = d.arg(2);
  slice.last_flow = d.cycle;
  const int64_t at = s * depth_ + (d.cycle & (depth_ - 1));
  recent_address_[at] = static_cast<uint16_t>(address);
  recent_stream_[at] = static_cast<uint8_t>(stream);
  const int64_t cycle = d.cycle + core_.timing.d_func[kReadCycles];
  const Payload p = {word, 1, 0, static_cast<uint8_t>(s)};
  const int u = Streams::Place(stream, d.position);
  return core_.streams.Enter(stream, u, cycle, p) || core_.Conflict(d, stream, cycle);
}

bool MemUnit::ReadPartly(const Dispatched& d, const uint8_t* word) {
  uint8_t* out = core_.NewGroup(d, 1);
  const int bytes = powered(d.cycle) * kLanesPerSuperlane;
  std::memcpy(out, word, bytes);
  std::memset(out + bytes, 0, kLanes - bytes);
  return core_.Emit(d, d.arg(2), 1, out);
}

bool MemUnit::Write(const Dispatched& d) {
  const int s = d.queue();
  Slice& slice = slices_[s];
  const int address = d.Strided(0);
  if (!TakePort(d, slice, slice.last_write, Bank(address), d.cycle)) return false;
  alignas(64) uint8_t scratch[kLanes];
  const uint8_t* value = core_.ReadPlane(d, d.arg(2), scratch);
  if (value == nullptr) return false;
  Overwrite(s, address, d.cycle);
  uint8_t* word = core_.sram.Word(s, address);
  if (value != word) std::memcpy(word, value, kLanes);
  return true;
}

bool MemUnit::Addresses(const Dispatched& d, const uint8_t* map, int superlanes,
                        int32_t out[kSuperlanes]) {
  const int base = d.Strided(0);
  std::fill(out, out + kSuperlanes, -1);
  for (int k = 0; k < superlanes; ++k) {
    const uint8_t* lanes = map + k * kLanesPerSuperlane;
    const int offset = lanes[0] | lanes[1] << 8;
    if (offset == kNoWord) continue;
    if (base + offset >= kWordsPerSlice) {
      return core_.Fail(FaultKind::kBadAddress, d,
                        absl::StrCat("superlane ", k, " asks for word ", base + offset));
    }
    out[k] = base + offset;
  }
  return true;
}

bool MemUnit::Gather(const Dispatched& d) {
  Slice& slice = slices_[d.queue()];
  if (!TakeBothBanks(d, slice, slice.last_read)) return false;
  alignas(64) uint8_t scratch[kLanes];
  const uint8_t* map = core_.ReadPlane(d, d.arg(2), scratch);
  if (map == nullptr) return false;
  int32_t addresses[kSuperlanes];
  // All maps are checked, also those of superlanes without power.
  if (!Addresses(d, map, kSuperlanes, addresses)) return false;
  const int superlanes = powered(d.cycle);
  uint8_t* out = core_.NewGroup(d, 1);
  for (int k = 0; k < kSuperlanes; ++k) {
    const int at = k * kLanesPerSuperlane;
    if (addresses[k] < 0 || k >= superlanes) {
      std::memset(out + at, 0, kLanesPerSuperlane);
    } else {
      std::memcpy(out + at, core_.sram.Word(d.queue(), addresses[k]) + at, kLanesPerSuperlane);
    }
  }
  return core_.Emit(d, d.arg(3), 1, out);
}

bool MemUnit::Scatter(const Dispatched& d) {
  const int s = d.queue();
  Slice& slice = slices_[s];
  if (!TakeBothBanks(d, slice, slice.last_write)) return false;
  alignas(64) uint8_t map_scratch[kLanes], value[kLanes];
  const uint8_t* map = core_.ReadPlane(d, d.arg(2), map_scratch);
  if (map == nullptr) return false;
  // A copy: the value may flow from a word that this scatter changes.
  const uint8_t* from = core_.ReadPlane(d, d.arg(3), value);
  if (from == nullptr) return false;
  if (from != value) std::memcpy(value, from, kLanes);
  int32_t addresses[kSuperlanes];
  if (!Addresses(d, map, kSuperlanes, addresses)) return false;
  for (int k = 0; k < kSuperlanes; ++k) {
    const int a = addresses[k];
    if (a < 0) continue;
    // Once a word: superlanes before this one may have changed it already.
    if (std::find(addresses, addresses + k, a) == addresses + k) Overwrite(s, a, d.cycle);
    const int at = k * kLanesPerSuperlane;
    std::memcpy(core_.sram.Word(s, a) + at, value + at, kLanesPerSuperlane);
  }
  return true;
}

bool MemUnit::Config(const Dispatched& d) {
  config_now_ = powered(d.cycle);
  config_next_ = d.arg(0);
  config_cycle_ = d.cycle;
  return true;
}

bool MemUnit::StoreReceived(const Dispatched& d, int s, int address, int64_t cycle,
                            const Vector& value) {
  Slice& slice = slices_[s];
  if (!TakePort(d, slice, slice.last_write, Bank(address), cycle)) return false;
  Overwrite(s, address, cycle);
  std::memcpy(core_.sram.Word(s, address), value.bytes.data(), kLanes);
  return true;
}

void MemUnit::BeforeOverwrite(int slice, int address) {
  if (holder_.holders[slice] != 0) holder_.SaveWord(slice, core_.sram.Word(slice, address));
}

void MemUnit::SaveFlowing(int s, int address, int64_t cycle) {
  const uint16_t* recent = &recent_address_[s * depth_];
  bool any = false;
  for (int64_t j = 0; j < depth_; ++j) any |= recent[j] == address;
  if (!any) return;
  const uint8_t* word = core_.sram.Word(s, address);
  uint8_t* saved = nullptr;
  for (int64_t j = 0; j < depth_; ++j) {
    if (recent[j] != address) continue;
    const int64_t read_at = cycle - ((cycle - j) & (depth_ - 1));
    const int stream = recent_stream_[s * depth_ + j];
    const int u = Streams::Place(stream, SlicePosition(s));
    Streams::Entry* e = core_.streams.FindExact(
        stream, u, read_at + core_.timing.d_func[kReadCycles], word);
    if (e == nullptr) continue;
    if (saved == nullptr) {
      saved = core_.vectors.Take(cycle);
      std::memcpy(saved, word, kLanes);
    }
    e->data = saved;
    e->slice = kNoSlice;
  }
}

}  // namespace lockstep
