#pragma once
// Launches: what a chip does in one run of the fabric. A chip's text is a row of programs, each with
// a cycle of its own in which it starts, and NOPs between them; chips in one role share the programs,
// whatever their starts.
//
//   chip 0    |program A|        |program B|           A and B end before the next one starts
//   chip 8            |program A|        |program B|   the same objects, later

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "chip/port.h"
#include "chip/program.h"
#include "fabric/wiring.h"

namespace lockstep {

struct Launch {
  std::shared_ptr<const Schedule> schedule;
  int64_t start = 0;  // cycle of the fabric's run in which the program's cycle 0 is
};
using Launches = std::vector<Launch>;  // by start; may be empty: the chip has nothing to do

using LinkCounts = std::array<int64_t, kLinksPerChip>;
// Vectors that the program receives, or sends, on each link.
LinkCounts ReceivesOf(const Schedule& schedule);
LinkCounts SendsOf(const Schedule& schedule);

// A link port in the cycles of a program that starts at `start`. Shows no more vectors than the
// program receives where a later program of the chip follows, since the rest is that one's.
class LaunchPort : public LinkPort {
 public:
  // `left` outlives this, and counts down what the program may still see; null: everything.
  LaunchPort(LinkPort& port, int64_t start, LinkCounts* left)
      : port_(port), start_(start), left_(left) {}

  bool IsCabled(int link) const override { return port_.IsCabled(link); }
  void Send(int link, int64_t start_ticks, const Vector* payload) override;
  void Transmit(int link, int64_t start_ticks) override;
  Poll Peek(int link, Arrival* out) override;
  void Pop(int link) override;

 private:
  LinkPort& port_;
  const int64_t start_;
  LinkCounts* const left_;
};

}  // namespace lockstep
