#pragma once
// Measured times as a table: a header line `bytes,time_us[,...]`, then a row a size; lines that
// begin with '#' are comments. What tools make of nccl-tests' output. Untrusted.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lockstep {

struct MeasuredTime {
  int64_t bytes = 0;
  double time_us = 0;
};

// InvalidArgument as `file:line: what`: a header without the two columns, a field that is no number
// or not positive, bytes beyond `most`, more than 4096 rows, none at all.
absl::StatusOr<std::vector<MeasuredTime>> ParseNcclLog(absl::string_view text,
                                                       absl::string_view file, int64_t most);
// Reads at most 1 MiB.
absl::StatusOr<std::vector<MeasuredTime>> LoadNcclLog(const std::string& path, int64_t most);

}  // namespace lockstep
