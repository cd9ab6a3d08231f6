#pragma once
// Starts `mpirun`, waits for it, and says in one line what went wrong if something did.
//
//   lockstep run ---fork---> mpirun (process group of its own) ---> lockstep-chip x ranks
//        ^-- its standard error, read line by line: progress, errors of rank 0, mpirun's own text
//
// Nothing outlives this process: mpirun gets SIGTERM when it dies, and each rank SIGKILL when
// mpirun does (launcher/chip_main.cc). SIGINT and SIGTERM to this process end the run.

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lockstep {

struct MpirunJob {
  int ranks = 1;
  std::string program;  // path of the executable
  std::vector<std::string> arguments;
  std::function<void(int done, int of)> progress;  // may be empty
};

// Runs it to its end with this process's standard output. REQUIRES: one thread, no other children.
absl::Status RunMpirun(const MpirunJob& job);

// What standard error of a failed mpirun says: the ranks' own error if there is one, else which
// rank ended by which signal or exit code, else all of it.
absl::Status ExplainFailure(absl::string_view standard_error);

}  // namespace lockstep
