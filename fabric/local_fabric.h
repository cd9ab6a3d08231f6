#pragma once
// All chips in one process, stepped by any number of threads.
//
// Every wire is a LinkQueue. A chip that blocks notes the link it waits for; the Send that fills that
// link puts exactly that chip back among the ready ones. A thread takes any ready chip, or sleeps.
// Sending and receiving take no lock; only blocking and waking do. Threads live for one RunChips.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/link_queue.h"
#include "fabric/transport.h"
#include "fabric/wiring.h"

namespace lockstep {

class LocalFabric : public Transport {
 public:
  // Error: threads < 1.
  static absl::StatusOr<std::unique_ptr<LocalFabric>> Create(Wiring wiring, int threads);
  ~LocalFabric() override;

  Process process() const override { return {}; }
  absl::Span<const uint32_t> chips() const override { return chips_; }
  void RunChips(ChipStep& step) override;
  std::vector<Leftover> Leftovers() const override;
  void Broadcast(std::string*) override {}
  std::vector<std::string> Gather(absl::string_view bytes) override;
  std::string Scatter(std::vector<std::string> bytes) override;

  // For chips that take turns: the runs that follow step these alone (ascending), and find on the
  // links what earlier ones sent. Vectors for others wait.
  void Visit(std::vector<uint32_t> chips);
  void EmptyLinks();

 private:
  class Port;

  LocalFabric(Wiring wiring, int threads);
  // What each thread does until all chips have ended.
  void Work(ChipStep& step);
  // Steps one chip until it ends (true) or nobody needs it here any more (false).
  bool StepChip(ChipStep& step, int chip);
  // Whether `chip` may go on at once although it blocked on `link`; else it is noted as waiting.
  bool StaysReady(int chip, int link);
  void Wake(uint32_t chip, int link);
  // REQUIRES: mutex_ held, nothing active.
  void BecomeQuiet();

  const Wiring wiring_;
  const int threads_;
  std::vector<uint32_t> chips_;                     // that are stepped
  bool visits_ = false;
  std::unique_ptr<LinkQueue[]> queues_;             // by wire
  std::vector<Port> ports_;                         // by chip
  std::unique_ptr<std::atomic<int>[]> waiting_on_;  // by chip: a link, or -1

  std::atomic<bool> quiet_{false};
  std::mutex mutex_;  // of all below
  std::condition_variable changed_;
  std::deque<int> ready_;
  size_t active_ = 0;  // chips ready or being stepped
  size_t ended_ = 0;
};

}  // namespace lockstep
