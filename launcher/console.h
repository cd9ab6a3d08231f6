#pragma once
// How a run shows on the terminal: generated text and the table on standard output, progress on
// standard error.

#include "absl/status/status.h"
#include "runtime/run/run.h"

namespace lockstep {

// What begins the lines that a rank's progress and errors take on standard error; `lockstep run`
// reads them and shows what they say.
inline constexpr char kProgressPrefix[] = "lockstep-progress: ";
inline constexpr char kChipPrefix[] = "lockstep-chip: ";

// Shows `done` of `of` steps on one line of the terminal that is written over; done = of clears it.
void DrawProgress(int done, int of);

// The same as a line of its own, for a program to read: "lockstep-progress: 3/12".
void PrintProgress(int done, int of);

// Whether progress should be drawn: there is a terminal, and no text that streams onto it.
bool WantsProgress(const RunOptions& options);

// Streams text as it comes, then the table unless options.quiet. `progress` may be empty.
RunView ConsoleView(const RunOptions& options, std::function<void(int, int)> progress);

// Whether all that was shown has been written.
absl::Status FlushConsole();

}  // namespace lockstep
