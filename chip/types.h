#pragma once
// Ids, quantities and points in time: the words every other header speaks in.
//
//   Id<Tag>        names a thing; no arithmetic; prints `chip3`, `link7`.
//   Quantity<Tag>  an amount; adds to its own kind only.
//   Cycle          a point on a chip's clock; point - point = CycleCount; point + point is refused.
//   GlobalCycle    a point on the common clock of aligned chips (fabric); converted by ToGlobal().
//
// In by explicit constructor, out by .value(), no other way; floating point is refused.

#include <compare>
#include <concepts>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"

namespace lockstep {

// Tag must have `static constexpr const char* kName`.
template <typename Tag>
class Id {
 public:
  template <std::integral T>
  constexpr explicit Id(T value) : value_(static_cast<uint32_t>(value)) {}
  constexpr uint32_t value() const { return value_; }
  auto operator<=>(const Id&) const = default;
  std::string ToString() const { return absl::StrCat(Tag::kName, value_); }

 private:
  uint32_t value_;
};

template <typename Tag>
class Quantity {
 public:
  constexpr Quantity() = default;
  template <std::integral T>
  constexpr explicit Quantity(T value) : value_(static_cast<int64_t>(value)) {}
  constexpr int64_t value() const { return value_; }
  auto operator<=>(const Quantity&) const = default;
  constexpr Quantity operator+(Quantity o) const { return Quantity(value_ + o.value_); }
  constexpr Quantity operator-(Quantity o) const { return Quantity(value_ - o.value_); }
  constexpr Quantity& operator+=(Quantity o) { return value_ += o.value_, *this; }
  template <std::integral T>
  constexpr Quantity operator*(T times) const { return Quantity(value_ * static_cast<int64_t>(times)); }

 private:
  int64_t value_ = 0;
};

using CycleCount = Quantity<struct CycleCountTag>;
using PayloadBytes = Quantity<struct PayloadBytesTag>;  // 320 a vector
using WireBytes = Quantity<struct WireBytesTag>;        // 328 a vector

// A point in time on the clock named by Tag.
template <typename Tag>
class TimePoint {
 public:
  template <std::integral T>
  constexpr explicit TimePoint(T value) : value_(static_cast<int64_t>(value)) {}
  constexpr int64_t value() const { return value_; }
  auto operator<=>(const TimePoint&) const = default;
  constexpr TimePoint operator+(CycleCount n) const { return TimePoint(value_ + n.value()); }
  constexpr TimePoint operator-(CycleCount n) const { return TimePoint(value_ - n.value()); }
  constexpr CycleCount operator-(TimePoint o) const { return CycleCount(value_ - o.value_); }
  std::string ToString() const { return absl::StrCat("@", value_); }

 private:
  int64_t value_;
};

using Cycle = TimePoint<struct ChipClockTag>;
using GlobalCycle = TimePoint<struct GlobalClockTag>;

// Where a chip's cycle 0 lies on the common clock.
constexpr GlobalCycle ToGlobal(Cycle local, GlobalCycle start) {
  return start + CycleCount(local.value());
}

struct ChipTag { static constexpr const char* kName = "chip"; };
struct PortTag { static constexpr const char* kName = "port"; };
struct LinkTag { static constexpr const char* kName = "link"; };
struct NodeTag { static constexpr const char* kName = "node"; };
struct RackTag { static constexpr const char* kName = "rack"; };
using ChipId = Id<ChipTag>;  // of a topology, dense from 0
using PortId = Id<PortTag>;  // of a chip: C2C link end 0..15
using LinkId = Id<LinkTag>;  // of a topology: one direction of a cable, dense from 0
using NodeId = Id<NodeTag>;
using RackId = Id<RackTag>;

static_assert(!std::is_convertible_v<int, ChipId>);
static_assert(!std::is_constructible_v<Cycle, double>);
static_assert(!std::is_constructible_v<CycleCount, double>);
static_assert(!std::is_default_constructible_v<ChipId>);
template <typename T>
concept AddsToItself = requires(T a) { a + a; };
static_assert(!AddsToItself<Cycle>);
static_assert(!AddsToItself<ChipId>);

}  // namespace lockstep
