#pragma once
// What carries vectors between chips, whatever the host looks like: all chips in one process
// (fabric/local_fabric.h) or spread over MPI ranks (fabric/mpi_fabric.h). One conformance suite
// (tests/fabric/transport_conformance.h) holds for both, and no emulated result can tell them apart.
//
// Ranks run free. A chip gives way only when a RECEIVE is due whose vector is not there, and goes on
// when that very link has heard something. There is no barrier within a program run.
//
// Quiescence. When every chip of the fabric has ended or waits on an empty link and nothing is under
// way, no vector will ever come again. From then until the end of the run Peek of an empty link says
// kNever instead of kPending (so a starved RECEIVE becomes a fault, and an engine that looks for
// vectors nobody received can finish) and a Send is dropped. As this is a property of the programs
// and not of the host's schedule, every transport gives the same answer to the same chip.
//
// A TRANSMIT carries no vector and its cycle is known before the run, so nothing is transported.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "chip/port.h"

namespace lockstep {

// One process of those that share the fabric.
struct Process {
  int rank = 0;
  int ranks = 1;
};

// What a transport asks of the chips it runs; fabric/fleet.h implements it.
class ChipStep {
 public:
  virtual ~ChipStep() = default;

  struct Result {
    bool ended;        // by reaching its end or by a fault; it will not be stepped again
    int blocked_link;  // if not ended: the link that must hear something first
  };
  // Runs chip chips()[index] until it ends or blocks. Never twice at once for one index; different
  // indices from different threads.
  virtual Result Step(int index, LinkPort& port) = 0;
};

// A vector that was sent and, when all was quiet, not received: the oldest of its link.
struct Leftover {
  uint32_t chip;
  int link;
  int64_t arrival_cycle;
  bool operator==(const Leftover&) const = default;
};

class Transport {
 public:
  virtual ~Transport() = default;

  virtual Process process() const = 0;
  // Chips of this process, ascending. Valid as long as the transport.
  virtual absl::Span<const uint32_t> chips() const = 0;

  // One program run: empties all links, then steps every chip until all have ended.
  // All processes call it, the same number of times.
  virtual void RunChips(ChipStep& step) = 0;
  // Of the chips of this process, after RunChips; by chip, then link.
  virtual std::vector<Leftover> Leftovers() const = 0;

  // Collectives between program runs; all processes call them in the same order. A process that waits
  // sleeps. The root is always process 0, the one that talks to the host's user.
  virtual void Broadcast(std::string* bytes) = 0;
  // In process 0: the bytes of each process, by rank. Elsewhere: empty.
  virtual std::vector<std::string> Gather(absl::string_view bytes) = 0;
  // In each process: the bytes that process 0 has for it. bytes: in process 0 by rank, else
  // ignored.
  virtual std::string Scatter(std::vector<std::string> bytes) = 0;
};

}  // namespace lockstep
