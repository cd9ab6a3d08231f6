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
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "chip/engine.h"
#include "chip/fault.h"
#include "fabric/launch.h"
#include "fabric/transport.h"

namespace lockstep {

class Fleet : private ChipStep {
 public:
  // engines[i] is chip transport->chips()[i]; none is owned.
  Fleet(Transport* transport, std::vector<Engine*> engines);

  // One run of the fabric, launches[i] for engines[i]. Collective: every process calls it. Returns,
  // in every process, the earliest fault of all chips, in cycles of the run.
  // REQUIRES: no run before it gave a fault: a machine that broke a rule has stopped; launches of a
  // chip follow each other in time.
  // before, after: called for each launch of engines[index] just before it begins, and when it has
  // ended without a fault, from the thread that steps the chip: what the host writes into its SRAM
  // meanwhile, and reads from it. May be null.
  // links: whether what nobody receives is a fault, or waits for programs of a later run.
  using AtLaunch = std::function<void(int index, size_t launch)>;
  enum class Links : uint8_t { kEndEmpty, kMayHoldMore };
  std::optional<Fault> Run(absl::Span<const Launches> launches, AtLaunch before = nullptr,
                           AtLaunch after = nullptr, Links links = Links::kEndEmpty);
  // One program a chip, all from cycle 0.
  std::optional<Fault> Run(absl::Span<const std::shared_ptr<const Schedule>> schedules);

 private:
  // How far a chip has come.
  struct Progress {
    size_t at = 0;      // its launch
    LinkCounts left{};  // vectors that this launch still receives
  };

  Result Step(int index, LinkPort& port) override;
  // Begins launch progress_[index].at.
  void StartLaunch(int index);
  // Whether what is on the links after the launch is for another one.
  bool MoreFollows(int index) const {
    return links_ == Links::kMayHoldMore || progress_[index].at + 1 < launches_[index].size();
  }
  // The earliest fault of this process's chips.
  std::optional<Fault> MyEarliest() const;

  Transport* transport_;
  std::vector<Engine*> engines_;
  absl::Span<const Launches> launches_;  // of the run
  AtLaunch before_, after_;
  Links links_ = Links::kEndEmpty;
  std::map<const Schedule*, LinkCounts>
      receives_;                    // of schedules that others follow; only looked up
  std::vector<Progress> progress_;  // by index
  std::vector<char> faulted_;       // by index; bytes, since threads write neighbours
  bool stopped_ = false;
};

}  // namespace lockstep
