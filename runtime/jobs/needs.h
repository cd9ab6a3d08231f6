#pragma once
// What a run of a model takes of its host, estimated before it starts from its plan.

#include "lockstep/v1/job.pb.h"
#include "runtime/run/run_setup.h"

namespace lockstep {

// `cores`: of the host, for all jobs together.
v1::Needs EstimateNeeds(const RunSetup& setup, int cores);

}  // namespace lockstep
