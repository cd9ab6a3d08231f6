#include "runtime/jobs/now.h"

#include <google/protobuf/util/time_util.h>

#include <chrono>

namespace lockstep {

google::protobuf::Timestamp Now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

}  // namespace lockstep
