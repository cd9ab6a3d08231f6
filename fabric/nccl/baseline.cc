// A call from choice to time (fabric/nccl/baseline.h).
#include "fabric/nccl/baseline.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "fabric/nccl/programs.h"

namespace lockstep::nccl {
namespace {

constexpr int kIterations = 20;            // nccl-tests' default
constexpr int64_t kEventsWanted = 20'000;  // fewer launches are simulated when one alone has many
constexpr int64_t kManyEvents = 200'000;   // one launch is enough

absl::Status Check(const Machine& machine, const Options& options, const Call& call) {
  RETURN_IF_ERROR(ValidateMachine(machine));
  if (options.launch == LaunchMode::kSerial && !machine.has_serial) {
    return absl::InvalidArgumentError(
        absl::StrCat(machine.name, " says nothing of one process that launches for all GPUs"));
  }
  if (call.ranks < 2 || call.ranks > machine.gpus) {
    return absl::InvalidArgumentError(absl::StrCat(call.ranks, " GPUs: ", machine.name,
                                                   " has 2 to ", machine.gpus));
  }
  if (call.bytes < 1 || call.bytes > kMostBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message of ", call.bytes, " B: need 1 to ", kMostBytes));
  }
  return absl::OkStatus();
}

void AddProgram(const Job& job, Flow& flow) {
  switch (job.choice.algorithm) {
    case Algorithm::kRing: return AddRing(job, flow);
    case Algorithm::kTree: return AddTree(job, flow);
    case Algorithm::kNvls: return AddNvls(job, flow);
    case Algorithm::kPointToPoint: return AddPointToPoint(job, flow);
  }
}

absl::StatusOr<Choice> ChooseFor(const Machine& machine, const Options& options, Version version,
                                 const Call& call) {
  Forced forced = options.forced;
  const bool tuned = call.operation != Operation::kAllToAll && call.operation != Operation::kSendRecv;
  if (!options.mechanisms.choice && tuned) forced = {Algorithm::kRing, Protocol::kSimple};
  ASSIGN_OR_RETURN(Choice choice, Choose(machine, version, call, forced));
  if (!options.mechanisms.scaling && choice.algorithm != Algorithm::kPointToPoint) {
    Call huge = call;
    huge.bytes = kMostBytes;
    choice = Scale(machine, huge, choice.algorithm, choice.protocol);
  }
  return choice;
}

// The host starts each GPU's kernel with its channels, one GPU after the other, and the time of the
// kernels hides behind that only in part.
int64_t SerialPs(const Machine& machine, int ranks, int channels, int64_t kernel_ps, int64_t* host) {
  const SerialLaunch& s = machine.serial;
  *host = ranks * (s.gpu_ns + channels * s.channel_ns) * 1000;
  return *host + std::max<int64_t>(0, kernel_ps - s.overlap_ns * 1000);
}

}  // namespace

absl::StatusOr<Outcome> Simulate(const Machine& machine, const Options& options, const Call& asked) {
  RETURN_IF_ERROR(Check(machine, options, asked));
  Call call = asked;
  call.bytes = WholeElements(call.operation, call.bytes, call.ranks);
  const Version version = options.version.value_or(machine.version);
  Outcome outcome;
  outcome.bytes = call.bytes;
  outcome.candidates = Candidates(machine, version, call);
  ASSIGN_OR_RETURN(outcome.choice, ChooseFor(machine, options, version, call));
  if (outcome.choice.protocol != Protocol::kSimple && call.bytes > kMostLineBytes) {
    return absl::InvalidArgumentError(absl::StrCat(Name(outcome.choice.protocol), " of ",
                                                   call.bytes, " B is not simulated, up to ",
                                                   kMostLineBytes, " B is"));
  }
  const auto ps = [&](int64_t cycles) { return cycles * 1'000'000 / machine.sm_clock_mhz; };
  Flow flow(call.ranks, ps(machine.costs.launch_cycles),
            options.mechanisms.wire ? ps(machine.costs.wire_cycles) : 0, machine.port_mb_per_s,
            std::max(1, machine.multicast_mb_per_s));
  AddProgram({machine, version, options.mechanisms, call, outcome.choice}, flow);
  outcome.launches = static_cast<int>(std::clamp<int64_t>(
      kEventsWanted / flow.units(), flow.units() < kManyEvents ? 2 : 1, kIterations));
  const FlowResult result = flow.Run(outcome.launches);
  outcome.kernel_ps = outcome.time_ps = result.period_ps;
  outcome.events = result.events;
  outcome.critical = result.critical;
  if (options.launch == LaunchMode::kSerial) {
    outcome.time_ps = SerialPs(machine, call.ranks, outcome.choice.channels, result.period_ps,
                               &outcome.host_ps);
  }
  return outcome;
}

}  // namespace lockstep::nccl
