// Waiting and waking. The order that makes a lost wake-up impossible:
//   consumer: waiting_on = link; then look at the count of pushed vectors
//   producer: count of pushed vectors + 1; then look at waiting_on
// All four are sequentially consistent, so at least one of the two sees the other.
#include "fabric/local_fabric.h"

#include <algorithm>
#include <numeric>
#include <thread>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {

class LocalFabric::Port : public LinkPort {
 public:
  Port(LocalFabric* fabric, uint32_t chip) : fabric_(fabric), chip_(chip) {}

  bool IsCabled(int link) const override { return fabric_->wiring_.cabled(chip_, link); }

  void Send(int link, int64_t start_ticks, const Vector* payload) override {
    const int32_t wire = fabric_->wiring_.outgoing(chip_, link);
    LOCKSTEP_CHECK(wire >= 0, "chip%d sends on link %d, which has no cable", chip_, link);
    if (fabric_->quiet_.load(std::memory_order_relaxed)) return;
    fabric_->queues_[wire].Push(fabric_->wiring_.ArrivalCycle(wire, start_ticks), payload);
    const Wire& w = fabric_->wiring_.wires()[wire];
    fabric_->Wake(w.to_chip, w.to_link);
  }

  void Transmit(int, int64_t) override {}

  Poll Peek(int link, Arrival* out) override {
    const int32_t wire = fabric_->wiring_.incoming(chip_, link);
    if (wire < 0) return Poll::kNever;
    if (fabric_->queues_[wire].Front(out)) return Poll::kReady;
    return fabric_->quiet_.load(std::memory_order_relaxed) ? Poll::kNever : Poll::kPending;
  }

  void Pop(int link) override { fabric_->queues_[fabric_->wiring_.incoming(chip_, link)].Pop(); }

 private:
  LocalFabric* fabric_;
  uint32_t chip_;
};

absl::StatusOr<std::unique_ptr<LocalFabric>> LocalFabric::Create(Wiring wiring, int threads) {
  if (threads < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("chips need at least one thread to run on, not ", threads));
  }
  return absl::WrapUnique(new LocalFabric(std::move(wiring), threads));
}

LocalFabric::LocalFabric(Wiring wiring, int threads)
    : wiring_(std::move(wiring)),
      threads_(threads),
      chips_(wiring_.chips()),
      queues_(new LinkQueue[wiring_.wires().size()]),
      waiting_on_(new std::atomic<int>[wiring_.chips()]) {
  std::iota(chips_.begin(), chips_.end(), 0u);
  ports_.reserve(chips_.size());
  for (uint32_t chip : chips_) {
    ports_.emplace_back(this, chip);
    waiting_on_[chip] = -1;
  }
}

LocalFabric::~LocalFabric() = default;

void LocalFabric::Visit(std::vector<uint32_t> chips) {
  chips_ = std::move(chips);
  visits_ = true;
}

void LocalFabric::EmptyLinks() {
  for (size_t i = 0; i < wiring_.wires().size(); ++i) queues_[i].Clear();
}

void LocalFabric::RunChips(ChipStep& step) {
  if (!visits_) EmptyLinks();
  for (uint32_t chip : chips_) waiting_on_[chip] = -1;
  quiet_ = false;
  ready_.assign(chips_.begin(), chips_.end());
  active_ = chips_.size();
  ended_ = 0;
  std::vector<std::thread> helpers;
  for (int i = 1; i < threads_; ++i) helpers.emplace_back([&] { Work(step); });
  Work(step);
  for (std::thread& helper : helpers) helper.join();
}

void LocalFabric::Work(ChipStep& step) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (ended_ < chips_.size()) {
    if (ready_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const int chip = ready_.front();
    ready_.pop_front();
    lock.unlock();
    const bool ended = StepChip(step, chip);
    lock.lock();
    if (ended) ++ended_;
    if (--active_ == 0) BecomeQuiet();
  }
}

bool LocalFabric::StepChip(ChipStep& step, int chip) {
  const auto at = std::lower_bound(chips_.begin(), chips_.end(), static_cast<uint32_t>(chip));
  const int index = static_cast<int>(at - chips_.begin());
  while (true) {
    const ChipStep::Result result = step.Step(index, ports_[chip]);
    if (result.ended) return true;
    LOCKSTEP_CHECK(!quiet_, "chip%d waits on link %d though nothing can come", chip,
                   result.blocked_link);
    if (!StaysReady(chip, result.blocked_link)) return false;
  }
}

bool LocalFabric::StaysReady(int chip, int link) {
  const int32_t wire = wiring_.incoming(chip, link);
  LOCKSTEP_CHECK(wire >= 0, "chip%d waits on link %d, which has no cable", chip, link);
  const uint64_t seen = queues_[wire].popped();
  waiting_on_[chip].store(link);
  if (queues_[wire].pushed() == seen) return false;
  // Something came meanwhile. Whoever takes the note back owns the chip.
  return waiting_on_[chip].exchange(-1) >= 0;
}

void LocalFabric::Wake(uint32_t chip, int link) {
  std::atomic<int>& waiting = waiting_on_[chip];
  if (waiting.load() != link) return;
  int expected = link;
  if (!waiting.compare_exchange_strong(expected, -1)) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  ready_.push_back(static_cast<int>(chip));
  ++active_;
  if (threads_ > 1) changed_.notify_one();
}

void LocalFabric::BecomeQuiet() {
  quiet_ = true;
  for (uint32_t chip : chips_) {
    if (waiting_on_[chip].exchange(-1) < 0) continue;
    ready_.push_back(static_cast<int>(chip));
    ++active_;
  }
  changed_.notify_all();
}

std::vector<Leftover> LocalFabric::Leftovers() const {
  std::vector<Leftover> out;
  for (uint32_t chip : chips_) {
    for (int link = 0; link < kLinksPerChip; ++link) {
      const int32_t wire = wiring_.incoming(chip, link);
      LinkPort::Arrival oldest;
      if (wire >= 0 && queues_[wire].Front(&oldest)) out.push_back({chip, link, oldest.cycle});
    }
  }
  return out;
}

std::vector<std::string> LocalFabric::Gather(absl::string_view bytes) {
  return {std::string(bytes)};
}

std::string LocalFabric::Scatter(std::vector<std::string> bytes) {
  LOCKSTEP_CHECK(bytes.size() == 1, "bytes for %d processes", bytes.size());
  return std::move(bytes.front());
}

}  // namespace lockstep
