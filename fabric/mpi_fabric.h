#pragma once
// The chips of one fabric over MPI ranks, K consecutive chips a rank.
//
// A vector for a chip of the same rank goes into its LinkQueue at once; for another rank it is a
// frame of 24 bytes, plus 320 in functional runs, that leaves when the sending chip blocks or ends, or
// every 16 KiB. A rank steps its ready chips; with none ready it sends what is left and sleeps until
// another rank rings (between hosts it looks, after sleeps of 20 us growing to 1 ms). Nothing spins,
// and nothing waits for all.
//
// Quiescence is found by counting. A rank with nothing to step tells rank 0 how many frames it has
// sent to and had from each peer: at once if its chips have ended, else after 200 us of idleness.
// When the latest counts of all ranks agree pair by pair, no frame is under way and nobody can be
// woken again (the first to wake would have taken a frame that one of the two counts lacks), so
// rank 0 says so. Host time decides only when this is noticed, never what is found.

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fabric/link_queue.h"
#include "fabric/mpi_channels.h"
#include "fabric/mpi_session.h"
#include "fabric/transport.h"
#include "fabric/wiring.h"

namespace lockstep {

struct MpiFabricOptions {
  uint32_t chips_per_rank = 1;
  // False: ranks of one host speak through MPI messages too, as if each had a host of its own.
  bool shared_memory = true;
};

class MpiFabric : public Transport {
 public:
  // Collective. Error: the session has not ceil(chips / chips_per_rank) ranks.
  // `session` must outlive the fabric.
  static absl::StatusOr<std::unique_ptr<MpiFabric>> Create(const MpiSession& session, Wiring wiring,
                                                           const MpiFabricOptions& options);
  ~MpiFabric() override;  // collective

  Process process() const override { return {rank_, ranks_}; }
  absl::Span<const uint32_t> chips() const override { return chips_; }
  void RunChips(ChipStep& step) override;
  std::vector<Leftover> Leftovers() const override;
  void Broadcast(std::string* bytes) override;
  std::vector<std::string> Gather(absl::string_view bytes) override;
  std::string Scatter(std::vector<std::string> bytes) override;

 private:
  class Port;
  enum FrameType : uint16_t { kVector, kReport, kQuiet, kBytes };
  struct Traffic {  // with one peer, in this program run
    uint32_t peer;
    uint32_t unused = 0;
    uint64_t sent = 0, received = 0;
  };
  struct Stashed {
    int from;
    FrameHeader header;
    std::string body;
  };

  MpiFabric(const MpiSession& session, Wiring wiring, const MpiFabricOptions& options);

  int RankOf(uint32_t chip) const { return static_cast<int>(chip / options_.chips_per_rank); }
  bool Mine(uint32_t chip) const { return RankOf(chip) == rank_; }
  LinkQueue& Queue(int32_t wire) const { return *queues_[wire]; }

  void BeginRun();
  void StepReady(ChipStep& step);
  void Idle();
  bool TakeFrames();
  void FlushAll();
  void Sent(int to);
  void OnFrame(int from, const FrameHeader& header, absl::string_view body);
  void OnVector(int from, absl::string_view body);
  void Arrived(int32_t wire, int64_t cycle, const void* payload);
  void SendReport();
  void OnReport(int from, absl::string_view body);
  bool AllCountsAgree() const;
  void BecomeQuiet();
  std::string TakeBytes(int from);

  const Wiring wiring_;
  const MpiFabricOptions options_;
  const int rank_, ranks_;
  std::vector<uint32_t> chips_;
  std::vector<Port> ports_;
  std::vector<std::unique_ptr<LinkQueue>> queues_;  // by wire; null unless it ends here
  std::vector<int> waiting_on_;                     // by own chip: a link, or -1
  std::deque<int> ready_;
  size_t ended_ = 0;
  bool quiet_ = false, reported_ = false;
  uint16_t epoch_ = 0;  // of the program run
  size_t unflushed_bytes_ = 0;
  std::vector<Traffic> traffic_;          // by rank
  std::vector<Stashed> early_;            // frames of the next program run
  std::vector<std::deque<std::string>> bytes_;  // of collectives, by sender
  std::vector<std::vector<Traffic>> reports_;   // rank 0: by rank; empty: none yet
  std::unique_ptr<MpiChannels> channels_;
};

}  // namespace lockstep
