// A loop of three parts: step what is ready, take what has come, sleep. This file includes no MPI;
// fabric/mpi_channels.cc does.
#include "fabric/mpi_fabric.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {

constexpr size_t kBurstBytes = 16 << 10;
constexpr int64_t kIdleUs = 200;

struct VectorFrame {
  uint32_t wire;
  uint32_t unused = 0;
  int64_t arrival;
};

// Ranks that have a cable between them, and everyone with rank 0; ascending.
std::vector<std::vector<int>> Pairs(const Wiring& wiring, uint32_t chips_per_rank, int ranks) {
  std::vector<std::set<int>> sets(ranks);
  for (const Wire& w : wiring.wires()) {
    const int a = static_cast<int>(w.from_chip / chips_per_rank);
    const int b = static_cast<int>(w.to_chip / chips_per_rank);
    if (a != b) sets[a].insert(b);
  }
  for (int r = 1; r < ranks; ++r) {
    sets[0].insert(r);
    sets[r].insert(0);
  }
  std::vector<std::vector<int>> pairs;
  for (const std::set<int>& s : sets) pairs.emplace_back(s.begin(), s.end());
  return pairs;
}

}  // namespace

class MpiFabric::Port : public LinkPort {
 public:
  Port(MpiFabric* fabric, uint32_t chip) : fabric_(fabric), chip_(chip) {}

  bool IsCabled(int link) const override { return fabric_->wiring_.cabled(chip_, link); }

  void Send(int link, int64_t start_ticks, const Vector* payload) override {
    const int32_t wire = fabric_->wiring_.outgoing(chip_, link);
    LOCKSTEP_CHECK(wire >= 0, "chip%d sends on link %d, which has no cable", chip_, link);
    if (fabric_->quiet_) return;
    const int64_t arrival = fabric_->wiring_.ArrivalCycle(wire, start_ticks);
    const uint32_t to_chip = fabric_->wiring_.wires()[wire].to_chip;
    if (fabric_->Mine(to_chip)) {
      fabric_->Arrived(wire, arrival, payload);
      return;
    }
    const VectorFrame frame = {static_cast<uint32_t>(wire), 0, arrival};
    const int to = fabric_->RankOf(to_chip);
    fabric_->channels_->Send(
        to, kVector, fabric_->epoch_,
        absl::string_view(reinterpret_cast<const char*>(&frame), sizeof(frame)),
        payload == nullptr ? nullptr : payload->bytes.data(),
        payload == nullptr ? 0 : kVectorBytes);
    fabric_->Sent(to);
  }

  void Transmit(int, int64_t) override {}

  Poll Peek(int link, Arrival* out) override {
    const int32_t wire = fabric_->wiring_.incoming(chip_, link);
    if (wire < 0) return Poll::kNever;
    if (fabric_->Queue(wire).Front(out)) return Poll::kReady;
    return fabric_->quiet_ ? Poll::kNever : Poll::kPending;
  }

  void Pop(int link) override { fabric_->Queue(fabric_->wiring_.incoming(chip_, link)).Pop(); }

 private:
  MpiFabric* fabric_;
  uint32_t chip_;
};

absl::StatusOr<std::unique_ptr<MpiFabric>> MpiFabric::Create(const MpiSession& session,
                                                             Wiring wiring,
                                                             const MpiFabricOptions& options) {
  const uint32_t k = options.chips_per_rank;
  if (k == 0) return absl::InvalidArgumentError("a rank needs at least one chip");
  const int64_t need = (int64_t{wiring.chips()} + k - 1) / k;
  if (need != session.size()) {
    return absl::InvalidArgumentError(absl::StrCat(wiring.chips(), " chips at ", k,
                                                   " a rank need ", need, " MPI ranks, not ",
                                                   session.size()));
  }
  return absl::WrapUnique(new MpiFabric(session, std::move(wiring), options));
}

MpiFabric::MpiFabric(const MpiSession& session, Wiring wiring, const MpiFabricOptions& options)
    : wiring_(std::move(wiring)),
      options_(options),
      rank_(session.rank()),
      ranks_(session.size()),
      queues_(wiring_.wires().size()),
      traffic_(ranks_),
      bytes_(ranks_),
      reports_(ranks_) {
  for (uint32_t chip = 0; chip < wiring_.chips(); ++chip) {
    if (Mine(chip)) chips_.push_back(chip);
  }
  for (uint32_t chip : chips_) ports_.emplace_back(this, chip);
  waiting_on_.assign(chips_.size(), -1);
  for (size_t i = 0; i < queues_.size(); ++i) {
    if (Mine(wiring_.wires()[i].to_chip)) queues_[i] = std::make_unique<LinkQueue>();
  }
  channels_ = std::make_unique<MpiChannels>(
      session, Pairs(wiring_, options_.chips_per_rank, ranks_), options_.shared_memory);
}

MpiFabric::~MpiFabric() = default;

void MpiFabric::BeginRun() {
  ++epoch_;
  quiet_ = reported_ = false;
  ended_ = 0;
  for (const auto& queue : queues_) {
    if (queue) queue->Clear();
  }
  for (int r = 0; r < ranks_; ++r) traffic_[r] = {.peer = static_cast<uint32_t>(r)};
  for (auto& report : reports_) report.clear();
  ready_.clear();
  for (size_t i = 0; i < chips_.size(); ++i) ready_.push_back(static_cast<int>(i));
  std::fill(waiting_on_.begin(), waiting_on_.end(), -1);
  std::vector<Stashed> early;
  early.swap(early_);
  for (const Stashed& s : early) OnFrame(s.from, s.header, s.body);
}

void MpiFabric::RunChips(ChipStep& step) {
  BeginRun();
  while (!quiet_ || ended_ < chips_.size()) {
    StepReady(step);
    channels_->Flush();
    if (!TakeFrames() && ready_.empty() && !quiet_) Idle();
  }
  FlushAll();  // what rank 0 said to the others
}

void MpiFabric::StepReady(ChipStep& step) {
  while (!ready_.empty()) {
    const int i = ready_.front();
    ready_.pop_front();
    reported_ = false;
    const ChipStep::Result result = step.Step(i, ports_[i]);
    channels_->Flush();
    unflushed_bytes_ = 0;
    if (result.ended) {
      ++ended_;
      continue;
    }
    LOCKSTEP_CHECK(!quiet_, "chip%d waits on link %d though nothing can come", chips_[i],
                   result.blocked_link);
    const int32_t wire = wiring_.incoming(chips_[i], result.blocked_link);
    LOCKSTEP_CHECK(wire >= 0, "chip%d waits on link %d, which has no cable", chips_[i],
                   result.blocked_link);
    LinkPort::Arrival unused;
    if (Queue(wire).Front(&unused)) {
      ready_.push_back(i);
    } else {
      waiting_on_[i] = result.blocked_link;
    }
  }
}

void MpiFabric::Idle() {
  if (reported_) {
    channels_->Wait(-1);
  } else if (ended_ == chips_.size() || !channels_->Wait(kIdleUs)) {
    SendReport();
  }
}

void MpiFabric::Sent(int to) {
  ++traffic_[to].sent;
  unflushed_bytes_ += sizeof(FrameHeader) + sizeof(VectorFrame) + kVectorBytes;
  if (unflushed_bytes_ < kBurstBytes) return;
  channels_->Flush();
  unflushed_bytes_ = 0;
}

void MpiFabric::OnFrame(int from, const FrameHeader& header, absl::string_view body) {
  if (header.type == kBytes) {
    bytes_[from].emplace_back(body);
    return;
  }
  if (header.epoch != epoch_) {
    LOCKSTEP_CHECK(header.epoch == static_cast<uint16_t>(epoch_ + 1),
                   "rank %d is in run %d, rank %d in run %d", from, header.epoch, rank_, epoch_);
    early_.push_back({from, header, std::string(body)});
    return;
  }
  switch (header.type) {
    case kVector: OnVector(from, body); return;
    case kReport: OnReport(from, body); return;
    case kQuiet: BecomeQuiet(); return;
    default: LOCKSTEP_FAIL("frame of type %d from rank %d", header.type, from);
  }
}

void MpiFabric::OnVector(int from, absl::string_view body) {
  VectorFrame frame;
  LOCKSTEP_CHECK(body.size() == sizeof(frame) || body.size() == sizeof(frame) + kVectorBytes,
                 "a vector of %d bytes from rank %d", body.size(), from);
  std::memcpy(&frame, body.data(), sizeof(frame));
  LOCKSTEP_CHECK(frame.wire < queues_.size() && queues_[frame.wire], "wire %d does not end here",
                 frame.wire);
  ++traffic_[from].received;
  reported_ = false;
  Arrived(static_cast<int32_t>(frame.wire), frame.arrival,
          body.size() == sizeof(frame) ? nullptr : body.data() + sizeof(frame));
}

void MpiFabric::Arrived(int32_t wire, int64_t cycle, const void* payload) {
  Queue(wire).Push(cycle, payload);
  const Wire& w = wiring_.wires()[wire];
  const size_t i = w.to_chip - chips_.front();
  if (waiting_on_[i] != w.to_link) return;
  waiting_on_[i] = -1;
  ready_.push_back(static_cast<int>(i));
}

void MpiFabric::SendReport() {
  reported_ = true;
  std::vector<Traffic> counts;
  for (const Traffic& t : traffic_) {
    if (t.sent != 0 || t.received != 0) counts.push_back(t);
  }
  if (counts.empty()) counts.push_back(traffic_[rank_]);  // a report is never empty
  const absl::string_view body(reinterpret_cast<const char*>(counts.data()),
                               counts.size() * sizeof(Traffic));
  if (rank_ == 0) {
    OnReport(0, body);
  } else {
    channels_->Send(0, kReport, epoch_, body);
    channels_->Flush();
  }
}

void MpiFabric::OnReport(int from, absl::string_view body) {
  if (quiet_) return;
  std::vector<Traffic>& report = reports_[from];
  report.resize(body.size() / sizeof(Traffic));
  std::memcpy(report.data(), body.data(), report.size() * sizeof(Traffic));
  if (!AllCountsAgree()) return;
  LOCKSTEP_CHECK(rank_ == 0, "a report came to rank %d", rank_);
  for (int r = 1; r < ranks_; ++r) channels_->Send(r, kQuiet, epoch_, "");
  channels_->Flush();
  BecomeQuiet();
}

bool MpiFabric::AllCountsAgree() const {
  uint64_t sent = 0, received = 0;
  for (const auto& report : reports_) {
    if (report.empty()) return false;
    for (const Traffic& t : report) {
      sent += t.sent;
      received += t.received;
    }
  }
  if (sent != received) return false;
  const auto with = [this](int rank, uint32_t peer) {
    const auto& report = reports_[rank];
    const auto it = std::lower_bound(report.begin(), report.end(), peer,
                                     [](const Traffic& t, uint32_t p) { return t.peer < p; });
    return it != report.end() && it->peer == peer ? *it : Traffic{peer};
  };
  for (int r = 0; r < ranks_; ++r) {
    for (const Traffic& t : reports_[r]) {
      if (with(static_cast<int>(t.peer), r).received != t.sent) return false;
    }
  }
  return true;
}

void MpiFabric::BecomeQuiet() {
  quiet_ = true;
  for (size_t i = 0; i < chips_.size(); ++i) {
    if (waiting_on_[i] < 0) continue;
    waiting_on_[i] = -1;
    ready_.push_back(static_cast<int>(i));
  }
}

std::vector<Leftover> MpiFabric::Leftovers() const {
  std::vector<Leftover> out;
  for (uint32_t chip : chips_) {
    for (int link = 0; link < kLinksPerChip; ++link) {
      const int32_t wire = wiring_.incoming(chip, link);
      LinkPort::Arrival oldest;
      if (wire >= 0 && Queue(wire).Front(&oldest)) out.push_back({chip, link, oldest.cycle});
    }
  }
  return out;
}

bool MpiFabric::TakeFrames() {
  return channels_->Poll(
      [this](int from, const FrameHeader& h, absl::string_view body) { OnFrame(from, h, body); });
}

// Takes what comes meanwhile, so that two ranks with full rings cannot wait for each other.
void MpiFabric::FlushAll() {
  while (!channels_->Flush()) {
    if (!TakeFrames()) channels_->Wait(-1);
  }
}

std::string MpiFabric::TakeBytes(int from) {
  while (bytes_[from].empty()) {
    channels_->Flush();
    if (!TakeFrames()) channels_->Wait(-1);
  }
  std::string bytes = std::move(bytes_[from].front());
  bytes_[from].pop_front();
  return bytes;
}

void MpiFabric::Broadcast(std::string* bytes) {
  if (rank_ != 0) {
    *bytes = TakeBytes(0);
    return;
  }
  for (int r = 1; r < ranks_; ++r) channels_->Send(r, kBytes, 0, *bytes);
  FlushAll();
}

std::vector<std::string> MpiFabric::Gather(absl::string_view bytes) {
  if (rank_ != 0) {
    channels_->Send(0, kBytes, 0, bytes);
    FlushAll();
    return {};
  }
  std::vector<std::string> all = {std::string(bytes)};
  for (int r = 1; r < ranks_; ++r) all.push_back(TakeBytes(r));
  return all;
}

std::string MpiFabric::Scatter(std::vector<std::string> bytes) {
  if (rank_ != 0) return TakeBytes(0);
  LOCKSTEP_CHECK(bytes.size() == static_cast<size_t>(ranks_), "bytes for %d ranks", bytes.size());
  for (int r = 1; r < ranks_; ++r) channels_->Send(r, kBytes, 0, bytes[r]);
  FlushAll();
  return std::move(bytes.front());
}

}  // namespace lockstep
