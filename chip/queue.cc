// Names and places of the 144 queues (chip/queue.h).
#include "chip/queue.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {
constexpr absl::string_view kMxmNames[] = {"acc", "abc", "iw", "lw"};
}  // namespace

QueueInfo Queue(int queue) {
  LOCKSTEP_CHECK(queue >= 0 && queue < kQueues, "queue %d", queue);
  if (queue < kVxmQueue0) return {Unit::kMem, queue, 0, SlicePosition(queue)};
  if (queue < kMxmQueue0) return {Unit::kVxm, queue - kVxmQueue0, 0, kVxm};
  if (queue < kSxmQueue0) {
    const int n = queue - kMxmQueue0;
    return {Unit::kMxm, n / 4, static_cast<uint8_t>(n % 4), PlanePosition(n / 4)};
  }
  if (queue < kC2cQueue0) {
    const int n = queue - kSxmQueue0;
    return {Unit::kSxm, n / 4, n % 4 < 2 ? kSxmTranspose : kSxmLanes,
            n / 4 == 0 ? kSxmWest : kSxmEast};
  }
  const int link = queue - kC2cQueue0;
  return {Unit::kC2c, link, 0, C2cPosition(link)};
}

std::string QueueName(int queue) {
  const QueueInfo q = Queue(queue);
  const char* side[] = {"w", "e"};
  switch (q.unit) {
    case Unit::kMem: return absl::StrCat("mem", q.instance);
    case Unit::kVxm: return absl::StrCat("vxm", q.instance);
    case Unit::kMxm:
      return absl::StrCat("mxm", side[q.instance / 2], q.instance % 2, ".",
                          kMxmNames[q.queue_class]);
    case Unit::kSxm:
      return absl::StrCat("sxm", side[q.instance], ".", (queue - kSxmQueue0) % 4);
    case Unit::kC2c: return absl::StrCat("c2c", q.instance);
  }
  return "";
}

std::optional<int> QueueByName(absl::string_view name) {
  for (int q = 0; q < kQueues; ++q) {
    if (QueueName(q) == name) return q;
  }
  return std::nullopt;
}

bool QueueTakes(int queue, Opcode op) {
  const OpInfo& info = Info(op);
  if (!info.unit) return true;
  const QueueInfo q = Queue(queue);
  return q.unit == *info.unit &&
         (info.queue_class == kAnyQueueClass || info.queue_class == q.queue_class);
}

}  // namespace lockstep
