#pragma once
// The figures of runtime/validation/validate.h, by topic; each function measures one figure or a
// small group.

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "chip/latency.h"
#include "runtime/validation/validate.h"

namespace lockstep {

using Rows = std::vector<ValidationRow>;

// How a figure is known, before it is measured.
struct Figure {
  const char* id;
  FigureClass figure_class;
  std::string what;
  std::string published;
  std::string unit;
  double low, high;
  std::string tolerance;
  const char* origin;
};

// The row of a measured figure: pass inside [low, high], fail outside.
ValidationRow Judge(const Figure& figure, double measured, std::string note = "");
// The row of a figure that could not be measured.
ValidationRow Unmeasured(const Figure& figure, std::string why);
// A row that would fail, but because published figures disagree: becomes `contradiction`.
ValidationRow OrContradiction(ValidationRow row);

// validate_chip.cc
Rows ValidateSram(const ValidationOptions& options);             // V1
Rows ValidateStreamBandwidth(const ValidationOptions& options);  // V3
Rows ValidateBarrier(const ValidationOptions& options);          // V5
Rows ValidateEquation4(const ValidationOptions& options);        // V6
// validate_mxm.cc
Rows ValidateMxmPeak(const ValidationOptions& options);        // V2
Rows ValidateWeightInstall(const ValidationOptions& options);  // V4
// validate_matmul.cc
Rows ValidateMatmul(const ValidationOptions& options);   // V7
Rows ValidateTraffic(const ValidationOptions& options);  // V8
// validate_link.cc
Rows ValidateFraming(const ValidationOptions& options);   // V10
Rows ValidateLinkTime(const ValidationOptions& options);  // V11
// validate_clock.cc
Rows ValidateHacLatency(const ValidationOptions& options);  // V12
Rows ValidateStart(const ValidationOptions& options);       // V13
Rows ValidateAlignment(const ValidationOptions& options);   // V14
// validate_topology.cc
absl::StatusOr<Rows> ValidateHops(const ValidationOptions& options);       // V15
absl::StatusOr<Rows> ValidateCables(const ValidationOptions& options);     // V16
absl::StatusOr<Rows> ValidateBandwidth(const ValidationOptions& options);  // V17
absl::StatusOr<Rows> ValidateBisection(const ValidationOptions& options);  // V18
// validate_hops.cc
absl::StatusOr<Rows> ValidateRackLatency(const ValidationOptions& options);    // V19
absl::StatusOr<Rows> ValidateStages(const ValidationOptions& options);         // V20
absl::StatusOr<Rows> ValidateSystemLatency(const ValidationOptions& options);  // V21
absl::StatusOr<Rows> ValidateSpreading(const ValidationOptions& options);      // V22
// validate_collective.cc
absl::StatusOr<Rows> ValidateAllReduce(const ValidationOptions& options);  // V23
Rows ValidateChannelRatio(const ValidationOptions& options);               // V24

inline constexpr double kClockGhz = 0.9;  // nominal; ISCA'20 section II-B
inline double ToMicroseconds(double cycles) { return cycles / kClockGhz / 1000; }

}  // namespace lockstep
