#pragma once
// The functional engine: executes a program with its values, to the cycle (docs/machine.md).
//
//   PreparedProgram::order -> one dispatch after another -> unit -> streams, SRAM, MXM
//
// No cycle is ever stepped: a dispatch looks up what flows past it and enters its results with the
// cycle in which they will stand on the stream. MEM: chip/mem.h; VXM: chip/vxm.h; MXM: chip/mxm.h;
// SXM: chip/sxm.h; C2C: chip/c2c.h; ifetch: chip/fetch.h.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "chip/c2c.h"
#include "chip/core.h"
#include "chip/digest.h"
#include "chip/engine.h"
#include "chip/fetch.h"
#include "chip/mem.h"
#include "chip/mxm.h"
#include "chip/prepared.h"
#include "chip/sxm.h"
#include "chip/vxm.h"

namespace lockstep {

class FunctionalEngine : public Engine {
 public:
  // observer: not owned, outlives this; may be null.
  FunctionalEngine(uint32_t chip, const ChipTiming& timing, Observer* observer = nullptr,
                   Sram::Pages pages = Sram::Pages::kHuge);

  // Merges the dispatches first, unless it did so for one of the last kRemembered schedules.
  void Start(std::shared_ptr<const Schedule> schedule) override;
  // The same without merging: a prepared program can be shared by many engines.
  void StartPrepared(std::shared_ptr<const PreparedProgram> program);
  EngineState Run(LinkPort& port) override;
  int blocked_link() const override { return blocked_link_; }
  const Fault& fault() const override;
  uint64_t timing_digest() const override { return digest_->value(); }
  // Adds to a digest that another engine of the same chip began. Before the first run.
  void set_digest(std::shared_ptr<TimingDigest> digest) { digest_ = std::move(digest); }

  // What hac and sac read: the counter in cycle 0 and the drift, as given to Dispatch().
  void set_counters(int64_t hac_at_start, int64_t drift_cycles) {
    hac_at_start_ = hac_at_start, drift_cycles_ = drift_cycles;
  }
  // For the host, between runs. Stores respect what the MXM still holds.
  Sram& sram() { return core_.sram; }

 private:
  enum class Outcome : uint8_t { kGoOn, kFault, kBlocked };

  Outcome Execute(const Dispatched& d, LinkPort& port);
  Outcome ExecuteOther(const Dispatched& d, LinkPort& port);
  bool Counter(const Dispatched& d);
  // What acts after its dispatch: stores of received vectors and second vectors of ifetches.
  int64_t NextDelayed() const { return std::min(c2c_.next_store(), fetch_.next()); }
  bool ActUntil(int64_t cycle, int queue);
  EngineState Finish(LinkPort& port);

  Core core_;
  MxmUnit mxm_;
  MemUnit mem_;
  VxmUnit vxm_;
  SxmUnit sxm_;
  C2cUnit c2c_;
  FetchUnit fetch_;
  Observer* observer_;
  std::shared_ptr<TimingDigest> digest_ = std::make_shared<TimingDigest>();
  int64_t hac_at_start_ = 0, drift_cycles_ = 0;

  static constexpr size_t kRemembered = 16;
  std::vector<std::shared_ptr<const PreparedProgram>> remembered_;  // the oldest first
  std::shared_ptr<const PreparedProgram> program_;
  std::vector<int64_t> done_;  // by run: dispatches so far,
  std::vector<int64_t> ages_;  // and of their operands (chip/event.h)
  size_t next_ = 0;            // in program_->order()
  bool running_ = false;
  int blocked_link_ = -1;
};

}  // namespace lockstep
