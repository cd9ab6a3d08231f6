#pragma once
// One contract, two engines: `functional` (chip/functional.h) moves values and computes, `timing`
// (chip/timing.h) carries none; both check the same rules, find the same faults, report the same
// runs and so give the same digest.
//
// A chip runs its program as often as asked (once per token); SRAM and MXM state stay between
// runs, streams do not. Run() goes on until the program ends, or until a RECEIVE is due whose
// vector the outside does not know yet: then it returns kBlocked and is called again later.

#include <cstdint>
#include <memory>

#include "chip/event.h"
#include "chip/fault.h"
#include "chip/port.h"
#include "chip/program.h"

namespace lockstep {

enum class EngineState : uint8_t { kDone, kBlocked, kFault };

class Engine {
 public:
  virtual ~Engine() = default;

  // Begins the program anew at cycle 0. REQUIRES: the run before it is done.
  virtual void Start(std::shared_ptr<const Schedule> schedule) = 0;
  virtual EngineState Run(LinkPort& port) = 0;
  // REQUIRES: Run() returned kBlocked. The link that must hear something.
  virtual int blocked_link() const = 0;
  // REQUIRES: Run() returned kFault.
  virtual const Fault& fault() const = 0;
  // Over all executions since construction (chip/digest.h).
  virtual uint64_t timing_digest() const = 0;
};

}  // namespace lockstep
