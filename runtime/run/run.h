#pragma once
// One process of a run, from its setup to the written files: what `lockstep run --transport local`
// and every rank of lockstep-chip do once they have a transport.

#include <functional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "fabric/transport.h"
#include "runtime/run/run_setup.h"

namespace lockstep {

// What process 0 shows of a run while it goes on. Unset ones are not called.
struct RunView {
  std::function<void(absl::string_view)> text;     // as it is generated
  std::function<void(int done, int of)> progress;  // after each step
  std::function<void(absl::string_view)> table;    // at the end, whole lines
};

// Collective: every process of the transport calls it. Output files and `view` are process 0's.
// Errors are the same in every process where they concern all of them; process 0 has every one.
absl::Status RunProcess(const RunSetup& setup, Transport& transport, const RunView& view);

}  // namespace lockstep
