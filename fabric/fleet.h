#pragma once
// The chips of this process and one program run of all chips of the fabric.
//
// Every chip runs on until it ends, faults or starves; only then is the earliest fault chosen, by
// Fault::Before over all chips of all processes. So the report is the same however the chips are
// packed into processes and threads, and in whatever order the host ran them.
//
// A vector that nobody received is found in two places: by an engine that looks at its links at the
// end of its program, and here, for engines that do not. Here it is `receive missing` of the queue
// of the link, at the cycle in which the oldest such vector arrived.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "chip/engine.h"
#include "chip/fault.h"
#include "fabric/transport.h"

namespace lockstep {

class Fleet : private ChipStep {
 public:
  // engines[i] is chip transport->chips()[i]; none is owned.
  Fleet(Transport* transport, std::vector<Engine*> engines);

  // One program run, schedules[i] for engines[i]. Collective: every process calls it. Returns, in
  // every process, the earliest fault of all chips.
  // REQUIRES: no run before it gave a fault: a machine that broke a rule has stopped.
  std::optional<Fault> Run(absl::Span<const std::shared_ptr<const Schedule>> schedules);

 private:
  Result Step(int index, LinkPort& port) override;
  // The earliest fault of this process's chips.
  std::optional<Fault> MyEarliest() const;

  Transport* transport_;
  std::vector<Engine*> engines_;
  std::vector<char> faulted_;  // by index; bytes, since threads write neighbours
  bool stopped_ = false;
};

}  // namespace lockstep
