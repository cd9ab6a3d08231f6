#pragma once
// The timing engine: an Engine (chip/engine.h) that carries no values.
//
// It finds the faults and reports the runs and digest that the functional engine does, except for
// faults that are questions about values (bad address, not bijective, text that differs from what
// ifetch brings). A repeated run is one interval operation, not `count` steps.
//
// All on-chip rules are checked once per program (chip/timing_check.h), shared through the cache;
// Run() walks the link operations by (cycle, queue), with null payloads. A chip instance costs a
// few KB.
//
//   links      0: send send . . send        16 cursors, the least (cycle, queue) goes next;
//              3: . . receive(pending) ...  a receive not known yet blocks the walk

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "chip/digest.h"
#include "chip/link_serialiser.h"
#include "chip/engine.h"
#include "chip/timing_check.h"

namespace lockstep {

class TimingEngine : public Engine {
 public:
  // Engines that share a cache must run on one thread. `observer` may be null; else it outlives
  // the engine.
  TimingEngine(uint32_t chip, std::shared_ptr<CheckCache> cache, Observer* observer = nullptr);
  TimingEngine(uint32_t chip, const ChipTiming& timing, Observer* observer = nullptr);

  void Start(std::shared_ptr<const Schedule> schedule) override;
  EngineState Run(LinkPort& port) override;
  int blocked_link() const override;
  const Fault& fault() const override;
  uint64_t timing_digest() const override;

  // Where the program stands: dispatch cycle of the next link operation, or its end.
  int64_t cycle() const;

 private:
  // How far one link's operations have come.
  struct Cursor {
    int32_t at = 0;         // in ProgramCheck::links
    int32_t iteration = 0;  // of that run
    int64_t next;           // cycle of the next operation; kNoCycle: none left
    int64_t received = 0;   // vectors
    LinkSerialiser serialiser;
    std::vector<int64_t> freed;  // cycles of the last receive_fifo receives, a ring
  };
  static constexpr int64_t kNoCycle = INT64_MAX;

  int NextLink() const;
  void Advance(int link);
  // nullopt: go on.
  std::optional<EngineState> Step(LinkPort& port, int link);
  std::optional<EngineState> Receive(LinkPort& port, int link);
  std::optional<EngineState> CheckOverflow(int link, int64_t arrival);
  EngineState Finish(LinkPort& port);
  EngineState FailAt(FaultKind kind, int link, int64_t cycle, std::string detail);
  EngineState FailOnChip();

  const uint32_t chip_;
  const std::shared_ptr<CheckCache> cache_;
  Observer* const observer_;
  EngineState state_ = EngineState::kDone;
  std::shared_ptr<const Schedule> schedule_;
  std::shared_ptr<const Verdict> verdict_;
  std::shared_ptr<const MxmState> mxm_;
  std::array<Cursor, kC2cLinks> cursors_;
  std::vector<int64_t> receive_ages_;  // by LinkRun::receive
  int blocked_link_ = -1;
  std::optional<Fault> fault_;
  TimingDigest digest_;
};

}  // namespace lockstep
