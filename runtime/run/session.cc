// Sessions (runtime/run/session.h).
#include "runtime/run/session.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "fabric/agreement.h"
#include "runtime/compiler/image.h"
#include "runtime/compiler/sequence_map.h"
#include "runtime/machine/verify.h"
#include "runtime/run/engine_memory.h"
#include "runtime/run/share_step.h"

namespace lockstep {
namespace {

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

// Logits of one chip on their way to process 0.
struct LogitsHeader {
  int32_t row;           // of the step: by position, then sequence
  int32_t first, count;  // rows of the vocabulary
};

}  // namespace

Session::Session(const SessionSetup& setup, Transport* transport)
    : setup_(setup),
      transport_(transport),
      checks_(setup.checks != nullptr ? setup.checks : MakeSharedChecks(setup.timing)),
      token_{nullptr, {}, &Worker::token_parts, {}, {}},
      batch_{nullptr, {}, &Worker::batch_parts, {}, {}} {}

absl::StatusOr<std::unique_ptr<Session>> Session::Create(const SessionSetup& setup,
                                                         Transport* transport,
                                                         const Checkpoint* weights,
                                                         Observer* observer) {
  std::unique_ptr<Session> session(new Session(setup, transport));
  RETURN_IF_ERROR(session->AgreeOnPlan());
  RETURN_IF_ERROR(session->Compile(observer));
  if (session->TakesTurns()) {
    LOCKSTEP_CHECK(weights != nullptr, "the functional engine needs weights");
    ASSIGN_OR_RETURN(session->visits_,
                     StageVisits::Create(*session->token_.compiled, weights, setup.timing,
                                         setup.limit->wiring, setup.limit->sram_bytes, observer));
  } else if (setup.engine == EngineKind::kFunctional) {
    LOCKSTEP_CHECK(weights != nullptr, "the functional engine needs weights");
    RETURN_IF_ERROR(AgreeOnStatus(*transport, session->Load(*weights)));
  }
  session->CountCost(&session->token_);
  if (session->plan().prompt_positions() > 1) session->CountCost(&session->batch_);
  return session;
}

absl::Status Session::AgreeOnPlan() {
  std::string all = absl::StrCat(setup_.pipeline.Digest(), ",", static_cast<int>(setup_.engine));
  for (const ChipTiming::Parameter& p : setup_.timing.Parameters()) {
    absl::StrAppend(&all, ",", p.value);
  }
  return AgreeDigest(*transport_, XXH64(all.data(), all.size(), 0));
}

absl::Status Session::Compile(Observer* observer) {
  const bool first = transport_->process().rank == 0;
  for (Kind* kind : {&token_, &batch_}) {
    if (kind == &batch_ && plan().prompt_positions() == 1) continue;
    absl::StatusOr<std::shared_ptr<CompiledPipeline>> mine = nullptr;
    if (first) mine = CompileStep(kind == &batch_);
    ASSIGN_OR_RETURN(kind->compiled, ShareStep(*transport_, setup_.pipeline, setup_.timing,
                                               std::move(mine), token_.compiled.get()));
  }
  return AgreeOnStatus(*transport_, MakeWorkers(observer));
}

absl::StatusOr<std::shared_ptr<CompiledPipeline>> Session::CompileStep(bool batch) const {
  const std::shared_ptr<CompiledPipeline>& known = batch ? setup_.batches : setup_.compiled;
  if (known != nullptr) return known;
  if (batch) return CompilePrompt(token_.compiled);
  return CompiledPipeline::Create(setup_.pipeline, setup_.timing);
}

// A chip's programs, its engine, and its place in the fleet.
absl::Status Session::MakeWorkers(Observer* observer) {
  std::vector<Engine*> engines;
  const bool turns = TakesTurns();
  for (uint32_t chip : transport_->chips()) {
    std::vector<CompiledPipeline::ChipPart> batch_parts;
    ASSIGN_OR_RETURN(std::vector<CompiledPipeline::ChipPart> parts, token_.compiled->PartsOf(chip));
    if (batch_.compiled != nullptr) {
      ASSIGN_OR_RETURN(batch_parts, batch_.compiled->PartsOf(chip));
    }
    token_.launches.push_back(LaunchesOf(parts));
    batch_.launches.push_back(LaunchesOf(batch_parts));
    const bool works = !parts.empty();
    const int64_t bytes = works ? parts.front().role->compiled.layout.use.total() : 0;
    if (!turns) engines.push_back(MakeEngine(chip, bytes, observer));
    if (!works) continue;
    Worker worker{chip, 0, nullptr, std::move(parts), std::move(batch_parts), nullptr, {}};
    if (const std::optional<CompiledPipeline::Seat> seat = token_.compiled->SeatOf(chip)) {
      worker.member = seat->member;
      worker.stage = &token_.compiled->pipeline().stages[seat->stage].shape;
      if (!functional_.empty()) worker.engine = functional_.back().get();
    }
    for (int i = 0; worker.engine != nullptr && i < plan().sequences; ++i) {
      worker.inputs.push_back(AtSequence(worker.map(), plan(), i));
    }
    workers_.push_back(std::move(worker));
  }
  if (!turns) fleet_ = std::make_unique<Fleet>(transport_, engines);
  return absl::OkStatus();
}

// REQUIRES: token_.compiled.
bool Session::TakesTurns() const {
  if (!setup_.limit || setup_.engine != EngineKind::kFunctional) return false;
  std::map<int, int64_t> bytes;  // by stage
  for (const PipelinePart& part : token_.compiled->parts()) {
    bytes[part.stage] = std::max(bytes[part.stage], part.sram.total());
  }
  int64_t all = 0;
  for (const auto& [stage, of_chip] : bytes) all += of_chip * plan().chips;
  return all > setup_.limit->sram_bytes;
}

Engine* Session::MakeEngine(uint32_t chip, int64_t sram_bytes, Observer* observer) {
  if (setup_.engine == EngineKind::kTiming) {
    timing_.push_back(std::make_unique<TimingEngine>(chip, checks_, observer));
    return timing_.back().get();
  }
  functional_.push_back(std::make_unique<FunctionalEngine>(chip, setup_.timing, observer,
                                                           Sram::PagesFor(sram_bytes)));
  return functional_.back().get();
}

// Collective.
void Session::CountCost(Kind* kind) {
  StepCost mine;
  std::string traffic;
  for (const Worker& worker : workers_) {
    int64_t text = 0;
    LinkCounts sent{};
    for (const CompiledPipeline::ChipPart& part : worker.*kind->parts) {
      const Schedule& schedule = *part.role->schedule;
      mine.dispatches += schedule.dispatches;
      text += schedule.text_bytes;
      for (int link = 0; link < kLinksPerChip; ++link) sent[link] += part.role->sent[link];
    }
    for (int link = 0; link < kLinksPerChip; ++link) {
      const int64_t vectors = sent[link];
      if (vectors > 0) traffic += AsBytes(LinkTraffic{worker.chip, link, 0, vectors});
      mine.vectors_sent += vectors;
      mine.links += vectors > 0;
      mine.busiest_vectors = std::max(mine.busiest_vectors, vectors);
    }
    mine.text_bytes = std::max(mine.text_bytes, text);
  }
  StepCost& cost = kind->cost;
  for (const std::string& bytes : transport_->Gather(AsBytes(mine))) {
    const StepCost other = FromBytes<StepCost>(bytes);
    cost.dispatches += other.dispatches;
    cost.vectors_sent += other.vectors_sent;
    cost.links += other.links;
    cost.busiest_vectors = std::max(cost.busiest_vectors, other.busiest_vectors);
    cost.text_bytes = std::max(cost.text_bytes, other.text_bytes);
  }
  for (const std::string& bytes : transport_->Gather(traffic)) {
    for (size_t at = 0; at < bytes.size(); at += sizeof(LinkTraffic)) {
      kind->traffic.push_back(FromBytes<LinkTraffic>(bytes.substr(at, sizeof(LinkTraffic))));
    }
  }
  cost.cycles = kind->compiled->cycles();
  cost.latency = kind->compiled->latency();
  cost.period = kind->compiled->period();
  for (const PipelinePart& part : kind->compiled->parts()) {
    if (part.shape.sequence == 0) cost.weight_stream_bytes += part.weight_stream_bytes;
  }
}

absl::Status Session::Load(const Checkpoint& weights) {
  for (const Worker& worker : workers_) {
    if (worker.engine == nullptr) continue;
    EngineMemory memory(worker.engine->sram());
    RETURN_IF_ERROR(
        WriteModel(plan(), *worker.stage, worker.member, worker.map(), weights, memory));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> Session::Step(const std::vector<FedToken>& fed) {
  LOCKSTEP_CHECK(IsBatch(fed) || fed.size() == static_cast<size_t>(plan().sequences),
                 "%d tokens for %d sequences", fed.size(), plan().sequences);
  if (visits_ != nullptr) {
    return visits_->Step(*(IsBatch(fed) ? batch_ : token_).compiled, fed);
  }
  std::string bytes(reinterpret_cast<const char*>(fed.data()), fed.size() * sizeof(FedToken));
  transport_->Broadcast(&bytes);
  RETURN_IF_ERROR(RunStep(fed));
  return GatherLogits(IsBatch(fed));
}

// A step without tokens is the end.
void Session::End() {
  std::string none;
  transport_->Broadcast(&none);
}

absl::Status Session::Follow() {
  while (true) {
    std::string bytes;
    transport_->Broadcast(&bytes);
    if (bytes.empty()) return absl::OkStatus();
    std::vector<FedToken> fed(bytes.size() / sizeof(FedToken));
    std::memcpy(fed.data(), bytes.data(), bytes.size());
    RETURN_IF_ERROR(RunStep(fed));
    GatherLogits(IsBatch(fed));
  }
}

bool Session::IsBatch(const std::vector<FedToken>& fed) const {
  return plan().prompt_positions() > 1 &&
         fed.size() == static_cast<size_t>(plan().sequences * plan().prompt_positions());
}

void Session::WriteInputs(const std::vector<FedToken>& fed) {
  std::vector<int> tokens;
  for (const FedToken& f : fed) tokens.push_back(f.token);
  const size_t each = fed.size() / plan().sequences;  // tokens of a sequence
  for (const Worker& worker : workers_) {
    if (worker.engine == nullptr) continue;
    EngineMemory memory(worker.engine->sram());
    for (size_t i = 0; i < fed.size(); i += each) {
      WriteStep(plan(), *worker.stage, worker.member, worker.inputs[i / each],
                std::span<const int>(tokens).subspan(i, each), fed[i].position, memory);
    }
  }
}

absl::Status Session::RunStep(const std::vector<FedToken>& fed) {
  const bool batch = IsBatch(fed), flight = batch && plan().flight > plan().batch;
  if (!flight) WriteInputs(fed);
  const std::vector<const Worker*> workers = WorkersByIndex();
  const auto write = [&](int index, size_t launch) { WriteInFlight(*workers[index], launch, fed); };
  read_.assign(workers.size(), {});
  const auto read = [&](int index, size_t launch) {
    if (workers[index]->engine == nullptr) return;
    const Kind& kind = batch ? batch_ : token_;
    const CompiledPipeline::ChipPart& part = (workers[index]->*kind.parts)[launch];
    for (ShardLogits& shard :
         LogitsOfPart(*kind.compiled, *part.part, part.role->compiled, workers[index]->member,
                      EngineMemory(workers[index]->engine->sram()))) {
      read_[index].push_back(std::move(shard));
    }
  };
  // Every process has the same fault: the earliest of all.
  if (std::optional<Fault> fault = fleet_->Run((batch ? batch_ : token_).launches,
                                               flight ? Fleet::AtLaunch(write) : nullptr, read)) {
    return absl::InternalError(fault->ToString());
  }
  return absl::OkStatus();
}

// By local chip; null for those without work.
std::vector<const Session::Worker*> Session::WorkersByIndex() const {
  std::vector<const Worker*> out;
  auto next = workers_.begin();
  for (uint32_t chip : transport_->chips()) {
    const bool works = next != workers_.end() && next->chip == chip;
    out.push_back(works ? &*next++ : nullptr);
  }
  return out;
}

// Each part finds the inputs of its position, or of its batch.
void Session::WriteInFlight(const Worker& worker, size_t launch,
                            const std::vector<FedToken>& fed) const {
  if (worker.engine == nullptr) return;
  const PipelinePart& part = *worker.batch_parts[launch].part;
  if (part.shape.relay != nullptr) return;
  const PartInputs inputs = InputsOf(*batch_.compiled, part, fed);
  EngineMemory memory(worker.engine->sram());
  WriteStep(plan(), *worker.stage, worker.member, worker.inputs[part.shape.sequence], inputs.tokens,
            inputs.position, memory);
}

std::vector<float> Session::GatherLogits(bool batch) {
  if (setup_.engine == EngineKind::kTiming) return {};
  std::string mine;
  for (std::vector<ShardLogits>& of_chip : read_) {
    for (const ShardLogits& shard : std::exchange(of_chip, {})) {
      mine += AsBytes(LogitsHeader{shard.row, shard.first, static_cast<int>(shard.values.size())});
      mine.append(reinterpret_cast<const char*>(shard.values.data()),
                  shard.values.size() * sizeof(float));
    }
  }
  const std::vector<std::string> gathered = transport_->Gather(mine);
  if (gathered.empty()) return {};
  std::vector<float> all = NoLogits(*(batch ? batch_ : token_).compiled);
  for (const std::string& bytes : gathered) {
    for (size_t at = 0; at < bytes.size();) {
      const auto header = FromBytes<LogitsHeader>(bytes.substr(at, sizeof(LogitsHeader)));
      at += sizeof header;
      const size_t size = size_t{static_cast<unsigned>(header.count)} * sizeof(float);
      LOCKSTEP_CHECK(at + size <= bytes.size(), "%d logits in %d bytes", header.count,
                     bytes.size());
      ShardLogits shard{header.row, header.first, std::vector<float>(header.count)};
      std::memcpy(shard.values.data(), bytes.data() + at, size);
      PutLogits(shard, plan().model.vocab_size, all);
      at += size;
    }
  }
  return all;
}

uint64_t Session::TimingDigest() {
  std::string mine;  // chip by chip, so that it does not show which process has which
  for (size_t i = 0; i < transport_->chips().size(); ++i) {
    mine += AsBytes(visits_ != nullptr    ? visits_->TimingDigestOf(transport_->chips()[i])
                    : functional_.empty() ? timing_[i]->timing_digest()
                                          : functional_[i]->timing_digest());
    // Digests are of programs in their own cycles; where a chip has starts, they count, too.
    const Launches& launches = token_.launches[i];
    for (const Launch& launch : launches) {
      if (launches.size() > 1 || launch.start != 0) mine += AsBytes(launch.start);
    }
  }
  std::string all;
  for (const std::string& part : transport_->Gather(mine)) all += part;
  return XXH64(all.data(), all.size(), 0);
}

Session::LaunchCounts Session::launches_of(uint32_t chip) const {
  const absl::Span<const uint32_t> chips = transport_->chips();
  const auto at = std::find(chips.begin(), chips.end(), chip);
  LOCKSTEP_CHECK(at != chips.end(), "chip%d is not of this process", chip);
  const size_t index = at - chips.begin();
  return {static_cast<int>(token_.launches[index].size()),
          static_cast<int>(batch_.launches[index].size())};
}

int64_t Session::SramBytesTouched() const {
  int64_t bytes = visits_ == nullptr ? 0 : visits_->MostSramBytes();
  for (const auto& engine : functional_) bytes += engine->sram().TouchedBytes();
  return bytes;
}

}  // namespace lockstep
