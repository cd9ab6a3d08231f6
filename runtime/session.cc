// Sessions (runtime/session.h).
#include "runtime/session.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "chip/check.h"
#include "fabric/agreement.h"
#include "runtime/engine_memory.h"
#include "runtime/image.h"

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

// Checks shared by engines that different threads run.
class LockedCheckCache : public CheckCache {
 public:
  using CheckCache::CheckCache;
  std::shared_ptr<const Verdict> Check(const std::shared_ptr<const Schedule>& schedule,
                                       const std::shared_ptr<const MxmState>& before) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return CheckCache::Check(schedule, before);
  }

 private:
  std::mutex mutex_;
};

// Logits of one chip on their way to process 0.
struct LogitsHeader {
  int32_t sequence, first, count;  // rows of the vocabulary
};

}  // namespace

Session::Session(const SessionSetup& setup, Transport* transport)
    : setup_(setup), transport_(transport), compiled_(setup.compiled),
      checks_(std::make_shared<LockedCheckCache>(setup.timing)) {}

absl::StatusOr<std::unique_ptr<Session>> Session::Create(const SessionSetup& setup,
                                                         Transport* transport,
                                                         const Checkpoint* weights,
                                                         Observer* observer) {
  std::unique_ptr<Session> session(new Session(setup, transport));
  RETURN_IF_ERROR(session->AgreeOnPlan());
  RETURN_IF_ERROR(session->AgreeOnStatus(session->Compile(observer)));
  if (session->TakesTurns()) {
    LOCKSTEP_CHECK(weights != nullptr, "the functional engine needs weights");
    ASSIGN_OR_RETURN(session->visits_,
                     StageVisits::Create(session->compiled_.get(), weights, setup.timing,
                                         setup.limit->wiring, setup.limit->sram_bytes, observer));
  } else if (setup.engine == EngineKind::kFunctional) {
    LOCKSTEP_CHECK(weights != nullptr, "the functional engine needs weights");
    RETURN_IF_ERROR(session->AgreeOnStatus(session->Load(*weights)));
  }
  session->CountCost();
  return session;
}

absl::Status Session::AgreeOnPlan() {
  std::string all = absl::StrCat(setup_.pipeline.Digest(), ",", static_cast<int>(setup_.engine));
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
  if (compiled_ == nullptr) {
    ASSIGN_OR_RETURN(compiled_, CompiledPipeline::Create(setup_.pipeline, setup_.timing));
  }
  std::vector<Engine*> engines;
  const bool turns = TakesTurns();
  for (uint32_t chip : transport_->chips()) {
    ASSIGN_OR_RETURN(std::vector<CompiledPipeline::ChipPart> parts, compiled_->PartsOf(chip));
    launches_.push_back(LaunchesOf(parts));
    const bool works = !parts.empty();
    const bool large =
        works && parts.front().role->compiled.layout.use.total() > kSramBytes / 8;
    if (!turns) engines.push_back(MakeEngine(chip, large, observer));
    if (!works) continue;
    const CompiledPipeline::Seat seat = *compiled_->SeatOf(chip);
    workers_.push_back({chip, seat, &compiled_->pipeline().stages[seat.stage].shape,
                        std::move(parts),
                        functional_.empty() ? nullptr : functional_.back().get(), {}});
    Worker& worker = workers_.back();
    for (int i = 0; worker.engine != nullptr && i < plan().sequences; ++i) {
      worker.inputs.push_back(AtSequence(worker.map(), plan(), i));
    }
  }
  if (!turns) fleet_ = std::make_unique<Fleet>(transport_, engines);
  return absl::OkStatus();
}

// REQUIRES: compiled_.
bool Session::TakesTurns() const {
  if (!setup_.limit || setup_.engine != EngineKind::kFunctional) return false;
  std::map<int, int64_t> bytes;  // by stage
  for (const PipelinePart& part : compiled_->parts()) bytes[part.stage] = part.sram.total();
  int64_t all = 0;
  for (const auto& [stage, of_chip] : bytes) all += of_chip * plan().chips;
  return all > setup_.limit->sram_bytes;
}

Engine* Session::MakeEngine(uint32_t chip, bool large, Observer* observer) {
  if (setup_.engine == EngineKind::kTiming) {
    timing_.push_back(std::make_unique<TimingEngine>(chip, checks_, observer));
    return timing_.back().get();
  }
  // Large pages fault in at least one a slice: worth it once a good part of each is used.
  const Sram::Pages pages = large ? Sram::Pages::kHuge : Sram::Pages::kSmall;
  functional_.push_back(std::make_unique<FunctionalEngine>(chip, setup_.timing, observer, pages));
  return functional_.back().get();
}

// Collective.
void Session::CountCost() {
  StepCost mine;
  for (const Worker& worker : workers_) {
    int64_t text = 0;
    LinkCounts sent{};
    for (const CompiledPipeline::ChipPart& part : worker.parts) {
      const Schedule& schedule = *part.role->schedule;
      mine.dispatches += schedule.dispatches;
      text += schedule.text_bytes;
      for (int link = 0; link < kLinksPerChip; ++link) sent[link] += part.role->sent[link];
    }
    for (int64_t vectors : sent) {
      mine.vectors_sent += vectors;
      mine.links += vectors > 0;
      mine.busiest_vectors = std::max(mine.busiest_vectors, vectors);
    }
    mine.text_bytes = std::max(mine.text_bytes, text);
  }
  for (const std::string& bytes : transport_->Gather(AsBytes(mine))) {
    const StepCost other = FromBytes<StepCost>(bytes);
    cost_.dispatches += other.dispatches;
    cost_.vectors_sent += other.vectors_sent;
    cost_.links += other.links;
    cost_.busiest_vectors = std::max(cost_.busiest_vectors, other.busiest_vectors);
    cost_.text_bytes = std::max(cost_.text_bytes, other.text_bytes);
  }
  cost_.cycles = compiled_->cycles();
  cost_.latency = compiled_->latency();
  cost_.period = compiled_->period();
  for (const PipelinePart& part : compiled_->parts()) {
    if (part.shape.sequence == 0) cost_.weight_stream_bytes += part.weight_stream_bytes;
  }
}

absl::Status Session::Load(const Checkpoint& weights) {
  for (const Worker& worker : workers_) {
    EngineMemory memory(worker.engine->sram());
    RETURN_IF_ERROR(WriteModel(plan(), *worker.stage, worker.seat.member, worker.map(), weights,
                               memory));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> Session::Step(const std::vector<FedToken>& fed) {
  LOCKSTEP_CHECK(fed.size() == static_cast<size_t>(plan().sequences), "%d tokens for %d sequences",
                 fed.size(), plan().sequences);
  if (visits_ != nullptr) return visits_->Step(fed);
  std::string bytes(reinterpret_cast<const char*>(fed.data()), fed.size() * sizeof(FedToken));
  transport_->Broadcast(&bytes);
  RETURN_IF_ERROR(RunStep(fed));
  return GatherLogits();
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
    GatherLogits();
  }
}

absl::Status Session::RunStep(const std::vector<FedToken>& fed) {
  for (const Worker& worker : workers_) {
    if (worker.engine == nullptr) continue;
    EngineMemory memory(worker.engine->sram());
    for (size_t i = 0; i < fed.size(); ++i) {
      WriteStep(plan(), *worker.stage, worker.seat.member, worker.inputs[i], fed[i].token,
                fed[i].position, memory);
    }
  }
  // Every process has the same fault: the earliest of all.
  if (std::optional<Fault> fault = fleet_->Run(launches_)) {
    return absl::InternalError(fault->ToString());
  }
  return absl::OkStatus();
}

std::vector<float> Session::GatherLogits() {
  if (setup_.engine == EngineKind::kTiming) return {};
  std::string mine;
  for (const Worker& worker : workers_) {
    EngineMemory memory(worker.engine->sram());
    for (const CompiledPipeline::ChipPart& part : worker.parts) {
      if (!part.part->shape.head) continue;
      const Range rows = plan().ShardOf(worker.stage->head, worker.seat.member);
      const std::vector<float> logits =
          ReadLogits(plan(), *worker.stage, worker.seat.member, part.role->compiled.logits, memory);
      mine += AsBytes(LogitsHeader{part.part->shape.sequence, rows.begin, rows.size()});
      mine.append(reinterpret_cast<const char*>(logits.data()), logits.size() * sizeof(float));
    }
  }
  std::vector<float> all;
  for (const std::string& bytes : transport_->Gather(mine)) {
    const size_t vocabulary = plan().model.vocab_size;
    all.resize(vocabulary * plan().sequences);
    for (size_t at = 0; at < bytes.size();) {
      const auto header = FromBytes<LogitsHeader>(bytes.substr(at, sizeof(LogitsHeader)));
      at += sizeof header;
      const size_t size = size_t{static_cast<unsigned>(header.count)} * sizeof(float);
      LOCKSTEP_CHECK(at + size <= bytes.size(), "%d logits in %d bytes", header.count, bytes.size());
      std::memcpy(all.data() + header.sequence * vocabulary + header.first, bytes.data() + at, size);
      at += size;
    }
  }
  return all;
}

uint64_t Session::TimingDigest() {
  std::string mine;
  for (const auto& engine : functional_) mine += AsBytes(engine->timing_digest());
  for (const auto& engine : timing_) mine += AsBytes(engine->timing_digest());
  if (visits_ != nullptr) {
    for (uint32_t chip : transport_->chips()) mine += AsBytes(visits_->TimingDigestOf(chip));
  }
  // Digests are of programs in their own cycles; where a chip has starts, they count, too.
  for (const Launches& launches : launches_) {
    for (const Launch& launch : launches) {
      if (launches.size() > 1 || launch.start != 0) mine += AsBytes(launch.start);
    }
  }
  std::string all;
  for (const std::string& part : transport_->Gather(mine)) all += part;
  return XXH64(all.data(), all.size(), 0);
}

int Session::launches_of(uint32_t chip) const {
  const absl::Span<const uint32_t> chips = transport_->chips();
  const auto at = std::find(chips.begin(), chips.end(), chip);
  LOCKSTEP_CHECK(at != chips.end(), "chip%d is not of this process", chip);
  return static_cast<int>(launches_[at - chips.begin()].size());
}

int64_t Session::SramBytesTouched() const {
  int64_t bytes = visits_ == nullptr ? 0 : visits_->MostSramBytes();
  for (const auto& engine : functional_) bytes += engine->sram().TouchedBytes();
  return bytes;
}

}  // namespace lockstep
