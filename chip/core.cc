// Operands, results and faults of a dispatch (chip/core.h).
#include "chip/core.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "chip/numerics.h"

namespace lockstep {
namespace {
int Longest(const ChipTiming& timing) {
  return *std::max_element(timing.d_func.begin(), timing.d_func.end());
}
}  // namespace

Core::Core(uint32_t chip, const ChipTiming& timing, Sram::Pages pages)
    : chip(chip), timing(timing), lifetime(Longest(timing) + kPositions + 1),
      sram(pages), streams(Longest(timing)), vectors(kLanes, lifetime), groups(kGroupBytes, lifetime) {}

void Core::Restart() {
  streams.Clear();
  vectors.Clear();
  groups.Clear();
  fault.reset();
}

bool Core::Fail(FaultKind kind, const Dispatched& d, std::string detail) {
  return FailAt(kind, d, d.cycle, std::move(detail));
}

bool Core::FailAt(FaultKind kind, const Dispatched& d, int64_t cycle, std::string detail) {
  fault = Fault{kind, chip, d.queue(), cycle, InstructionAt(d.run, d.i), std::move(detail)};
  return false;
}

void Core::Empty(const Dispatched& d, int stream, int64_t cycle) {
  FailAt(FaultKind::kStreamEmpty, d, cycle,
         absl::StrCat("nothing flows on ", StreamName(stream), " at position ", d.position));
}

bool Core::Conflict(const Dispatched& d, int stream, int64_t cycle) {
  return Fail(FaultKind::kStreamConflict, d,
              absl::StrCat("another value stands on ", StreamName(stream), " at position ",
                           d.position, " in cycle ", cycle));
}

const uint8_t* PlaneOf(const Streams::Entry& e, uint8_t scratch[kLanes]) {
  if (e.width == 1) return e.data;
  ExtractPlane(e.data, e.width, e.plane, scratch);
  return scratch;
}

const uint8_t* Core::ReadPlane(const Dispatched& d, int stream, uint8_t scratch[kLanes]) {
  const Streams::Entry* e = Read(d, stream);
  return e == nullptr ? nullptr : PlaneOf(*e, scratch);
}

const uint8_t* Core::ReadGroup(const Dispatched& d, int stream, int width,
                               uint8_t scratch[kGroupBytes]) {
  if (width == 1) return ReadPlane(d, stream, scratch);
  const Streams::Entry* entries[kMaxElementBytes] = {};
  bool native = true;
  for (int j = 0; j < width; ++j) {
    const Streams::Entry* e = entries[j] = Read(d, stream + j);
    if (e == nullptr) return nullptr;
    native &= e->data == entries[0]->data && e->width == width && e->plane == j;
  }
  if (native) return entries[0]->data;
  alignas(64) uint8_t planes[kMaxElementBytes][kLanes];
  const uint8_t* p[kMaxElementBytes];
  for (int j = 0; j < width; ++j) p[j] = PlaneOf(*entries[j], planes[j]);
  if (width == 2) {
    Interleave2(p[0], p[1], reinterpret_cast<uint16_t*>(scratch));
  } else {
    Interleave4(p[0], p[1], p[2], p[3], reinterpret_cast<uint32_t*>(scratch));
  }
  return scratch;
}

std::string StreamName(int stream) {
  return absl::StrCat(StreamDirection(stream) == Direction::kEast ? "e" : "w",
                      stream % kStreamsPerDirection);
}

}  // namespace lockstep
