// Presets and the integer derivation of a vector's time on the wire. No floating point: the time
// is a fraction of two integers, and it must come out in whole ticks.
#include "fabric/link_model.h"

#include <array>
#include <numeric>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {

struct Preset {
  absl::string_view name;
  int64_t flight, turnaround;
  absl::string_view origin;
};

constexpr std::array<Preset, 3> kPresets = {{
    {"A", 217, 0, "ISCA'22 Table 2 as one-way latency, mean 216.67 rounded"},
    {"B", 469, 0, "ISCA'22 Table 2 + one HAC period of 252 (measured modulo it), 468.67 rounded"},
    {"C", 217, 433, "ISCA'22 5.6, 722 ns = 650 cycles a hop; flight of Table 2, the rest assumed"},
}};

}  // namespace

WireBytes ToWire(PayloadBytes payload) {
  LOCKSTEP_CHECK(payload.value() % kVectorBytes == 0, "%d B is no whole number of vectors",
                 payload.value());
  return WireBytes(payload.value() / kVectorBytes * kWireBytes);
}

absl::StatusOr<LinkModel> LinkModel::Create(absl::string_view preset, const LinkRate& rate) {
  if (rate.lanes < 1 || rate.lane_bits_per_second < 1 || rate.clock_hz < 1 ||
      rate.lanes > 64 || rate.lane_bits_per_second > int64_t{1} << 40 ||
      rate.clock_hz > int64_t{1} << 36) {
    return absl::InvalidArgumentError(
        absl::StrCat("link rate out of range: ", rate.lanes, " lanes of ",
                     rate.lane_bits_per_second, " b/s at a clock of ", rate.clock_hz, " Hz"));
  }
  // ticks = bits / (lanes * rate) * clock * 125, reduced before it is multiplied out.
  int64_t num = int64_t{kWireBytes} * 8 * kTicksPerCycle;
  int64_t den = rate.lanes * rate.lane_bits_per_second;
  const int64_t common = std::gcd(rate.clock_hz, den);
  num *= rate.clock_hz / common;
  den /= common;
  if (num % den != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a vector takes ", num, "/", den, " ticks of 1/", kTicksPerCycle,
                     " cycle, which is no whole number"));
  }
  for (const Preset& p : kPresets) {
    if (p.name != preset) continue;
    LinkModel model;
    model.preset_ = p.name;
    model.origin_ = p.origin;
    model.flight_ = p.flight;
    model.turnaround_ = p.turnaround;
    model.ticks_ = num / den;
    model.rate_ = rate;
    return model;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown hop-latency preset \"", preset, "\"; there are A, B and C"));
}

absl::string_view LinkModel::DefaultReason() {
  return "B alone agrees with both published end-to-end figures: GroqRack 1.6 us over 3 hops, "
         "< 3 us over 5 hops";
}

std::string LinkModel::ToString() const {
  return absl::StrCat("hop latency ", preset_, ": ", flight_, " cycles flight + ", turnaround_,
                      " turnaround, ", ticks_, "/", kTicksPerCycle, " cycles a vector (", origin_,
                      ")");
}

}  // namespace lockstep
