#pragma once
// The wall clock of the controller's host, for what people and scripts read of a job: when it came,
// started and ended. Nothing that is computed depends on it.

#include <google/protobuf/timestamp.pb.h>

namespace lockstep {

// In nanoseconds. TimeUtil::GetCurrentTime() of protobuf 3.21 counts whole seconds, which is too
// coarse to order jobs, or to tell how long a short one took.
google::protobuf::Timestamp Now();

}  // namespace lockstep
