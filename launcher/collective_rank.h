#pragma once
// `lockstep-chip collective ...`: one MPI rank of a collective.

namespace lockstep {

// argv[0] is the program, flags follow. Only rank 0 speaks. Returns the exit code.
int CollectiveAsRank(int argc, char** argv);

}  // namespace lockstep
