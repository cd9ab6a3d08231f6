#pragma once
// The 144 instruction queues and what each one drives.
//
//   0..87     mem0..mem87              one a MEM slice (0..43 west, 44..87 east)
//   88..103   vxm0..vxm15              one an ALU of the 4x4 mesh
//   104..119  mxm{w,e}{0,1}.{acc,abc,iw,lw}   four a plane; planes 0,1 west, 2,3 east
//   120..127  sxm{w,e}.{0..3}          0,1: transpose and rotate; 2,3: shift, select, permute,
//                                      distribute
//   128..143  c2c0..c2c15              one a link
//
// The count of 144 is published (ISCA'20 section II); its division among units is our assumption.
// Within one cycle engines take queues in this order. Nothing may depend on it but what stands
// here: a plane's ACC, ABC, IW and LW of one cycle act in that order.

#include <cstdint>
#include <optional>
#include <string>
#include "absl/strings/string_view.h"

#include "chip/isa.h"

namespace lockstep {

inline constexpr int kQueues = 144;
inline constexpr int kVxmQueue0 = 88, kMxmQueue0 = 104, kSxmQueue0 = 120, kC2cQueue0 = 128;
inline constexpr int kPlanes = 4;

// Kinds of queue within a unit; OpInfo::queue_class holds one of these or kAnyQueueClass.
inline constexpr uint8_t kAnyQueueClass = 255;
inline constexpr uint8_t kMxmAcc = 0, kMxmAbc = 1, kMxmIw = 2, kMxmLw = 3;
inline constexpr uint8_t kSxmTranspose = 0, kSxmLanes = 1;

struct QueueInfo {
  Unit unit;
  int instance;         // slice, ALU, plane, hemisphere (SXM) or link
  uint8_t queue_class;  // kMxm*, kSxm*; 0 elsewhere
  int position;         // where its unit meets the streams
};

// REQUIRES: 0 <= queue < kQueues.
QueueInfo Queue(int queue);
std::string QueueName(int queue);
std::optional<int> QueueByName(absl::string_view name);

constexpr int MemQueue(int slice) { return slice; }
constexpr int VxmQueue(int alu) { return kVxmQueue0 + alu; }
constexpr int MxmQueue(int plane, int queue_class) { return kMxmQueue0 + plane * 4 + queue_class; }
constexpr int SxmQueue(Hemisphere h, int slot) { return kSxmQueue0 + static_cast<int>(h) * 4 + slot; }
constexpr int C2cQueue(int link) { return kC2cQueue0 + link; }
constexpr int PlanePosition(int plane) { return plane < 2 ? kMxmWest : kMxmEast; }

// Whether `queue` may issue `op`.
bool QueueTakes(int queue, Opcode op);

}  // namespace lockstep
