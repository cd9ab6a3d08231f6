// SRAM as a reserved mapping (chip/sram.h).
#include "chip/sram.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "chip/check.h"

namespace lockstep {
namespace {
constexpr int64_t kPageBytes = 4096;

void CheckPlace(int slice, int address) {
  LOCKSTEP_CHECK(slice >= 0 && slice < kSlices, "slice %d", slice);
  LOCKSTEP_CHECK(address >= 0 && address < kWordsPerSlice, "address %d", address);
}
}  // namespace

Sram::Sram(Pages pages) {
  void* at = mmap(nullptr, kReserved, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  LOCKSTEP_CHECK(at != MAP_FAILED, "cannot reserve %d B of address space for SRAM: %s", kReserved,
                 std::strerror(errno));
  base_ = static_cast<uint8_t*>(at);
  // Advice only: a host without huge pages runs as well, slower at first touch.
  if (pages == Pages::kHuge) madvise(at, kReserved, MADV_HUGEPAGE);
}

Sram::~Sram() { munmap(base_, kReserved); }

void Sram::Store(int slice, int address, const Vector& value) {
  CheckPlace(slice, address);
  if (listener_ != nullptr) listener_->BeforeOverwrite(slice, address);
  std::memcpy(Word(slice, address), value.bytes.data(), kVectorBytes);
}

Vector Sram::Load(int slice, int address) const {
  CheckPlace(slice, address);
  Vector value;
  std::memcpy(value.bytes.data(), Word(slice, address), kVectorBytes);
  return value;
}

int64_t Sram::TouchedBytes() const {
  std::vector<unsigned char> resident((kReserved + kPageBytes - 1) / kPageBytes);
  LOCKSTEP_CHECK(mincore(base_, kReserved, resident.data()) == 0, "mincore: %s",
                 std::strerror(errno));
  int64_t pages = 0;
  for (unsigned char page : resident) pages += page & 1;
  return pages * kPageBytes;
}

}  // namespace lockstep
