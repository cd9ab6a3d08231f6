// Runs of validation programs (runtime/validation/validate_testbed.h).
#include "runtime/validation/validate_testbed.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/no_links.h"
#include "chip/timing.h"
#include "fabric/fleet.h"
#include "fabric/local_fabric.h"
#include "fabric/wiring.h"
#include "runtime/kernels/collective.h"
#include "runtime/kernels/place.h"
#include "runtime/machine/machine.h"
#include "runtime/machine/verify.h"

namespace lockstep {
namespace {

class Collector : public Observer {
 public:
  explicit Collector(Execution* out) : out_(out) {}
  void OnRun(uint32_t, const RunRetired& run) override { out_->runs.push_back(run); }

 private:
  Execution* out_;
};

// The schedule, or null with the fault in `out`.
std::shared_ptr<const Schedule> Prepare(const Program& program, const ChipTiming& timing,
                                        Execution* out) {
  DispatchResult result = Dispatch(program, timing);
  out->fault = result.fault;
  if (result.fault) return nullptr;
  out->end = result.schedule.end;
  out->text_bytes = result.schedule.text_bytes;
  return std::make_shared<const Schedule>(std::move(result.schedule));
}

void Finish(Engine& engine, EngineState state, Execution* out) {
  if (state == EngineState::kFault) out->fault = engine.fault();
  out->digest = engine.timing_digest();
}

// Where flows keep vectors: each port of a chip has a slice for what it sends and one for what it
// receives to stay, all within two stream columns of the port.
Hemisphere PortSide(int port) {
  return port < kC2cLinks / 2 ? Hemisphere::kWest : Hemisphere::kEast;
}
int SendSlice(int port) { return SliceNumber(PortSide(port), 43 - port % 8); }
int StaySlice(int port) { return SliceNumber(PortSide(port), 35 - port % 8); }

// The programs of the chips that flows touch, chip numbers made dense.
class FlowPrograms {
 public:
  FlowPrograms(const Topology& topology, const ChipTiming& timing)
      : topology_(topology), timing_(timing), period_(LinkPeriod(timing)) {}

  void Number(const Path& path) {
    for (LinkId id : path) {
      Index(topology_.link(id).from);
      Index(topology_.link(id).to);
      used_.insert(id.value());
      used_.insert(topology_.reverse(topology_.link(id)).id.value());
    }
  }

  absl::StatusOr<Wiring> Wire(const LinkModel& links) {
    std::vector<lockstep::Wire> wires;
    for (uint32_t number : used_) {
      const Link& link = topology_.link(LinkId(number));
      flight_[number] = FlightCycles(topology_, links, link.place);
      wires.push_back({Index(link.from), static_cast<uint8_t>(link.from_port.value()),
                       static_cast<uint8_t>(link.to_port.value()), Index(link.to),
                       flight_[number]});
    }
    return Wiring::Create(static_cast<uint32_t>(chips_.size()), std::move(wires),
                          timing_.link_ticks);
  }

  // Emits the flow; cycles are common to all chips. Returns when the last vector is in SRAM.
  int64_t Emit(const Flow& flow) {
    int64_t read = kFirstRead;
    const int store = D(Opcode::kReceive) + timing_.receive_turnaround;
    for (size_t hop = 0; hop < flow.path.size(); ++hop) {
      const Link& link = topology_.link(flow.path[hop]);
      const int out = static_cast<int>(link.from_port.value());
      const int in = static_cast<int>(link.to_port.value());
      const int hops = Hops(SlicePosition(SendSlice(out)), C2cPosition(out));
      const int stream = StreamNumber(Outward(PortSide(out)), out);
      const int64_t send = read + D(Opcode::kRead) + hops;
      Block& from = blocks_[Index(link.from)];
      from.At(MemQueue(SendSlice(out)), ops::Read(0, 1, stream), read, flow.vectors, period_);
      from.At(C2cQueue(out), ops::Send(stream), send, flow.vectors, period_);
      const int64_t receive = send + period_ + flight_[link.id.value()];
      const bool last = hop + 1 == flow.path.size();
      const int slice =
          last ? StaySlice(in)
               : SendSlice(static_cast<int>(topology_.link(flow.path[hop + 1]).from_port.value()));
      blocks_[Index(link.to)].At(C2cQueue(in), ops::Receive(slice, 0, 1), receive, flow.vectors,
                                 period_);
      read = receive + store + 1;
    }
    return read - kFirstRead + int64_t{flow.vectors - 1} * period_;
  }

  absl::Status Run(Wiring wiring) {
    ASSIGN_OR_RETURN(const auto fabric, LocalFabric::Create(std::move(wiring), 1));
    const auto cache = std::make_shared<CheckCache>(timing_);
    std::vector<std::unique_ptr<TimingEngine>> engines;
    std::vector<Engine*> pointers;
    std::vector<std::shared_ptr<const Schedule>> schedules;
    for (size_t i = 0; i < chips_.size(); ++i) {
      engines.push_back(std::make_unique<TimingEngine>(static_cast<uint32_t>(i), cache));
      pointers.push_back(engines.back().get());
      Placer placer(timing_);
      const int64_t start = placer.Place(blocks_[i]);
      LOCKSTEP_CHECK(start == 0, "a flow begins at %d on chip %d", start, i);
      ASSIGN_OR_RETURN(schedules.emplace_back(), ScheduleOf(placer.Finish(), timing_));
    }
    Fleet fleet(fabric.get(), pointers);
    if (const std::optional<Fault> fault = fleet.Run(schedules)) {
      return absl::InternalError(fault->ToString());
    }
    return absl::OkStatus();
  }

 private:
  // Places are by diagonals that may not be negative; nothing else depends on it.
  static constexpr int64_t kFirstRead = 2 * kPositions;

  int D(Opcode op) const { return timing_.d_func[static_cast<int>(op)]; }
  uint32_t Index(ChipId chip) {
    const auto found = chips_.try_emplace(chip.value(), static_cast<uint32_t>(chips_.size()));
    if (found.second) blocks_.emplace_back("flow");
    return found.first->second;
  }
  const Topology& topology_;
  const ChipTiming timing_;
  const int period_;
  std::map<uint32_t, uint32_t> chips_;  // of the topology, to dense
  std::vector<Block> blocks_;           // by dense chip
  std::set<uint32_t> used_;             // links, both directions
  std::map<uint32_t, int32_t> flight_;  // by link
};

}  // namespace

Program ToProgram(const Block& block, const ChipTiming& timing) {
  Placer placer(timing);
  placer.Place(block);
  return placer.Finish();
}

int64_t Execution::First(Opcode op) const {
  int64_t first = INT64_MAX;
  for (const RunRetired& run : runs) {
    if (run.op == op) first = std::min(first, run.first);
  }
  LOCKSTEP_CHECK(first != INT64_MAX, "%s was never dispatched", Info(op).name);
  return first;
}

int64_t Execution::Last(Opcode op) const {
  int64_t last = -1;
  for (const RunRetired& run : runs) {
    if (run.op == op) last = std::max(last, run.last);
  }
  LOCKSTEP_CHECK(last >= 0, "%s was never dispatched", Info(op).name);
  return last;
}

int64_t Execution::CountIn(Opcode op, int64_t from, int64_t to) const {
  int64_t count = 0;
  for (const RunRetired& run : runs) {
    if (run.op != op) continue;
    const int64_t period = run.count > 1 ? (run.last - run.first) / (run.count - 1) : 1;
    const int64_t low = std::max<int64_t>(0, (from - run.first + period - 1) / period);
    const int64_t high = to <= run.first ? 0 : (to - 1 - run.first) / period + 1;
    count += std::max<int64_t>(0, std::min<int64_t>(high, run.count) - low);
  }
  return count;
}

Execution RunTiming(const Program& program, const ChipTiming& timing) {
  Execution out;
  const auto schedule = Prepare(program, timing, &out);
  if (schedule == nullptr) return out;
  Collector collector(&out);
  NoLinks links;
  TimingEngine engine(0, timing, &collector);
  engine.Start(schedule);
  Finish(engine, engine.Run(links), &out);
  return out;
}

Execution RunFunctional(const Program& program, const ChipTiming& timing, const OnSram& prepare,
                        const OnSram& inspect) {
  Execution out;
  const auto schedule = Prepare(program, timing, &out);
  if (schedule == nullptr) return out;
  Collector collector(&out);
  NoLinks links;
  FunctionalEngine engine(0, timing, &collector);
  if (prepare) prepare(engine.sram());
  engine.Start(schedule);
  Finish(engine, engine.Run(links), &out);
  if (!out.fault && inspect) inspect(engine.sram());
  return out;
}

Execution RunBoth(const Program& program, const ChipTiming& timing, const OnSram& prepare,
                  const OnSram& inspect) {
  Execution out = RunFunctional(program, timing, prepare, inspect);
  const Execution other = RunTiming(program, timing);
  const auto same_fault = [](const Fault& a, const Fault& b) {
    return a.kind == b.kind && a.queue == b.queue && a.cycle == b.cycle;
  };
  if (out.fault && other.fault && same_fault(*out.fault, *other.fault)) return out;
  if (!out.fault && !other.fault && out.digest == other.digest) return out;
  out.fault =
      Fault{FaultKind::kUntested,
            0,
            0,
            0,
            {},
            absl::StrCat("the engines disagree: functional ", out.Problem(), " digest ", out.digest,
                         ", timing ", other.Problem(), " digest ", other.digest)};
  return out;
}

absl::StatusOr<std::shared_ptr<const Schedule>> ScheduleOf(const Program& program,
                                                           const ChipTiming& timing) {
  DispatchResult d = Dispatch(program, timing);
  if (d.fault) return absl::InternalError(d.fault->ToString());
  return std::make_shared<const Schedule>(std::move(d.schedule));
}

absl::Status RunLaunches(const std::vector<Launches>& launches, const Topology& topology,
                         const LinkModel& links, const ChipTiming& timing) {
  const int chips = topology.num_chips();
  ASSIGN_OR_RETURN(Wiring wiring, MakeWiring(topology, chips, links, timing));
  const std::vector<int64_t> sram(chips, kSramBytes);
  RETURN_IF_ERROR(VerifyLaunches(launches, sram, wiring, timing).status());
  const auto cache = std::make_shared<CheckCache>(timing);
  std::vector<std::unique_ptr<TimingEngine>> engines;
  std::vector<Engine*> pointers;
  for (int chip = 0; chip < chips; ++chip) {
    engines.push_back(std::make_unique<TimingEngine>(static_cast<uint32_t>(chip), cache));
    pointers.push_back(engines.back().get());
  }
  ASSIGN_OR_RETURN(const auto fabric, LocalFabric::Create(std::move(wiring), 1));
  if (const auto fault = Fleet(fabric.get(), pointers).Run(launches)) {
    return absl::InternalError(fault->ToString());
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> RunFlows(const Topology& topology, const LinkModel& links,
                                 const ChipTiming& timing, const std::vector<Flow>& flows) {
  FlowPrograms programs(topology, WithHops(timing, links));
  for (const Flow& flow : flows) programs.Number(flow.path);
  ASSIGN_OR_RETURN(Wiring wiring, programs.Wire(links));
  int64_t end = 0;
  for (const Flow& flow : flows) end = std::max(end, programs.Emit(flow));
  RETURN_IF_ERROR(programs.Run(std::move(wiring)));
  return end;
}

}  // namespace lockstep
