// Sessions (runtime/session.h).
#include "runtime/session.h"

#include <xxhash.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "chip/check.h"
#include "fabric/agreement.h"
#include "runtime/engine_memory.h"
#include "runtime/image.h"
#include "runtime/machine.h"

namespace lockstep {
namespace {

struct StepCommand {
  int32_t token, position;
};
constexpr int32_t kNoMoreSteps = -1;

template <typename T>
std::string AsBytes(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}
template <typename T>
T FromBytes(const std::string& bytes) {
  T value;
  LOCKSTEP_CHECK(bytes.size() == sizeof(value), "%d bytes", bytes.size());
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

}  // namespace

int NodeFlightCycles(const Topology& topology, const LinkModel& links) {
  return FlightCycles(topology, links, Place::kNode);
}

absl::StatusOr<std::vector<Group>> NodeGroups(const Topology& topology, int chips,
                                              const LinkModel& links) {
  std::vector<Group> groups;
  for (int self = 0; self < chips; ++self) {
    Group g{chips, self, std::vector<int>(chips, -1), NodeFlightCycles(topology, links)};
    for (const Link& link : topology.links()) {
      const bool inside = link.from.value() == static_cast<uint32_t>(self) &&
                          link.to.value() < static_cast<uint32_t>(chips);
      if (inside && g.port[link.to.value()] < 0) g.port[link.to.value()] = link.from_port.value();
    }
    for (int m = 0; m < chips; ++m) {
      if (m != self && g.port[m] < 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("topology ", topology.name(), ": no link from chip", self, " to chip", m,
                         "; tensor parallel needs fully connected chips"));
      }
    }
    groups.push_back(std::move(g));
  }
  return groups;
}

Session::Session(const SessionSetup& setup, Transport* transport)
    : setup_(setup), stage_(WholeModel(setup.plan.model)), transport_(transport) {}

absl::StatusOr<std::unique_ptr<Session>> Session::Create(const SessionSetup& setup,
                                                         Transport* transport,
                                                         const Checkpoint* weights,
                                                         Observer* observer) {
  std::unique_ptr<Session> session(new Session(setup, transport));
  RETURN_IF_ERROR(session->AgreeOnPlan());
  RETURN_IF_ERROR(session->AgreeOnStatus(session->Compile(observer)));
  if (setup.engine == EngineKind::kFunctional) {
    LOCKSTEP_CHECK(weights != nullptr, "the functional engine needs weights");
    RETURN_IF_ERROR(session->AgreeOnStatus(session->Load(*weights)));
  }
  return session;
}

absl::Status Session::AgreeOnPlan() {
  std::string all = absl::StrCat(setup_.plan.Digest(), ",", static_cast<int>(setup_.engine), ",",
                                 setup_.groups.front().flight_cycles);
  for (const ChipTiming::Parameter& p : setup_.timing.Parameters()) {
    absl::StrAppend(&all, ",", p.value);
  }
  return AgreeDigest(*transport_, XXH64(all.data(), all.size(), 0));
}

absl::Status Session::AgreeOnStatus(const absl::Status& mine) {
  const std::vector<std::string> all =
      AllGather(*transport_, mine.ok() ? "" : absl::StrCat(mine.message(), " "));
  for (size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank].empty()) continue;
    if (!mine.ok() && rank == static_cast<size_t>(transport_->process().rank)) return mine;
    return absl::AbortedError(absl::StrCat("process ", rank, ": ",
                                           absl::StripSuffix(all[rank], " ")));
  }
  return absl::OkStatus();
}

absl::Status Session::Compile(Observer* observer) {
  std::vector<Engine*> engines;
  for (uint32_t chip : transport_->chips()) {
    ASSIGN_OR_RETURN(CompiledChip compiled,
                     CompileChip(setup_.plan, stage_, setup_.groups[chip], setup_.timing));
    DispatchResult dispatched = Dispatch(compiled.program, setup_.timing, {.chip = chip});
    if (dispatched.fault) return absl::InternalError(dispatched.fault->ToString());
    schedules_.push_back(std::make_shared<const Schedule>(std::move(dispatched.schedule)));
    cost_.sram_bytes = compiled.layout.use.total();
    compiled_.push_back(std::move(compiled));
    if (setup_.engine == EngineKind::kFunctional) {
      // Large pages fault in at least one a slice: worth it once a good part of each is used.
      const Sram::Pages pages =
          cost_.sram_bytes > kSramBytes / 8 ? Sram::Pages::kHuge : Sram::Pages::kSmall;
      functional_.push_back(
          std::make_unique<FunctionalEngine>(chip, setup_.timing, observer, pages));
      engines.push_back(functional_.back().get());
    } else {
      timing_.push_back(std::make_unique<TimingEngine>(chip, setup_.timing, observer));
      engines.push_back(timing_.back().get());
    }
  }
  fleet_ = std::make_unique<Fleet>(transport_, engines);
  const Schedule& s = *schedules_.front();
  cost_ = {s.end, s.dispatches, s.text_bytes, compiled_.front().weight_stream_bytes, 0,
           compiled_.front().layout.use.total()};
  for (const Run& run : s.runs) {
    if (run.instr.op == Opcode::kSend) cost_.vectors_sent += run.count;
  }
  return absl::OkStatus();
}

absl::Status Session::Load(const Checkpoint& weights) {
  for (size_t i = 0; i < functional_.size(); ++i) {
    EngineMemory memory(functional_[i]->sram());
    RETURN_IF_ERROR(WriteModel(setup_.plan, stage_, static_cast<int>(transport_->chips()[i]),
                               compiled_[i].layout.map, weights, memory));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> Session::Step(int token, int position) {
  std::string bytes = AsBytes(StepCommand{token, position});
  transport_->Broadcast(&bytes);
  RETURN_IF_ERROR(RunStep(token, position));
  return GatherLogits();
}

void Session::End() {
  std::string bytes = AsBytes(StepCommand{kNoMoreSteps, 0});
  transport_->Broadcast(&bytes);
}

absl::Status Session::Follow() {
  while (true) {
    std::string bytes;
    transport_->Broadcast(&bytes);
    const StepCommand command = FromBytes<StepCommand>(bytes);
    if (command.token == kNoMoreSteps) return absl::OkStatus();
    RETURN_IF_ERROR(RunStep(command.token, command.position));
    GatherLogits();
  }
}

absl::Status Session::RunStep(int token, int position) {
  for (size_t i = 0; i < functional_.size(); ++i) {
    EngineMemory memory(functional_[i]->sram());
    WriteStep(setup_.plan, stage_, static_cast<int>(transport_->chips()[i]),
              compiled_[i].layout.map, token, position, memory);
  }
  // Every process has the same fault: the earliest of all.
  if (std::optional<Fault> fault = fleet_->Run(schedules_)) {
    return absl::InternalError(fault->ToString());
  }
  return absl::OkStatus();
}

std::vector<float> Session::GatherLogits() {
  if (setup_.engine == EngineKind::kTiming) return {};
  std::string mine;
  for (size_t i = 0; i < functional_.size(); ++i) {
    EngineMemory memory(functional_[i]->sram());
    const std::vector<float> logits = ReadLogits(
        setup_.plan, stage_, static_cast<int>(transport_->chips()[i]), compiled_[i].logits,
        memory);
    mine.append(reinterpret_cast<const char*>(logits.data()), logits.size() * sizeof(float));
  }
  std::vector<float> all;
  for (const std::string& part : transport_->Gather(mine)) {
    const size_t n = part.size() / sizeof(float), at = all.size();
    all.resize(at + n);
    std::memcpy(all.data() + at, part.data(), part.size());
  }
  return all;
}

uint64_t Session::TimingDigest() {
  std::string mine;
  for (const auto& engine : functional_) mine += AsBytes(engine->timing_digest());
  for (const auto& engine : timing_) mine += AsBytes(engine->timing_digest());
  std::string all;
  for (const std::string& part : transport_->Gather(mine)) all += part;
  return XXH64(all.data(), all.size(), 0);
}

int64_t Session::SramBytesTouched() const {
  int64_t bytes = 0;
  for (const auto& engine : functional_) bytes += engine->sram().TouchedBytes();
  return bytes;
}

}  // namespace lockstep
