#pragma once
// Frames of bytes between MPI ranks: in order between two ranks, reliable, never blocking the sender.
//
//   Send ->  outbox of the peer  -> ring in shared memory (same host)  -> inbox -> handler
//                                '-> one MPI message at a time (else)  -'
//
// A frame waits in the outbox until Flush, so that many go out with one doorbell or one message; a
// ring that is full leaves the rest there. Ranks of one host sleep on a futex of their own and cost
// nothing meanwhile. A rank with peers on other hosts looks for their messages when it wakes, after
// sleeps that grow from 20 us to 1 ms, since MPI has no wait that sleeps.
//
// One thread a rank. <mpi.h> stays in the .cc.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "fabric/byte_ring.h"
#include "fabric/mpi_session.h"

namespace lockstep {

struct FrameHeader {
  uint32_t bytes;  // of the body
  uint16_t type;   // the user's
  uint16_t epoch;  // the user's
};

class MpiChannels {
 public:
  using Handler = std::function<void(int from, const FrameHeader& header, absl::string_view body)>;

  // Collective. `pairs[a]` are the ranks that a may send to and hear from, ascending, the same in
  // every rank and symmetric. The session outlives this. `shared_memory` false: every rank is
  // treated as a host of its own.
  MpiChannels(const MpiSession& session, const std::vector<std::vector<int>>& pairs,
              bool shared_memory);
  // Collective. Waits until all that was sent has left.
  ~MpiChannels();
  MpiChannels(const MpiChannels&) = delete;
  MpiChannels& operator=(const MpiChannels&) = delete;

  // REQUIRES: `to` is in pairs[rank].
  void Send(int to, uint16_t type, uint16_t epoch, absl::string_view body, const void* tail = nullptr,
            size_t tail_bytes = 0);
  // Moves what is in the outboxes on, as far as it goes without waiting. True: nothing is left.
  bool Flush();
  // Hands every frame that has come to `handler`. True if there was one.
  bool Poll(const Handler& handler);
  // REQUIRES: Flush() was called after the last Send. Sleeps until something may have come or
  // `timeout_us` passed (negative: no limit); false in the second case.
  bool Wait(int64_t timeout_us);

 private:
  struct Peer;
  struct Mpi;  // what names MPI types

  void OpenRings(const MpiSession& session, const std::vector<std::vector<int>>& pairs);
  bool FlushPeer(Peer& peer);
  void ReceiveMessages();
  bool News() const;
  bool Deliver(Peer& peer, const Handler& handler);

  const MpiSession& session_;
  const int rank_;
  std::vector<std::unique_ptr<Peer>> peers_;  // of this rank, ascending
  std::vector<int> peer_index_;               // by rank; -1: none
  std::vector<Peer*> unsent_;                 // peers with something in the outbox
  std::unique_ptr<Mpi> mpi_;
  Bell* bells_ = nullptr;  // by rank; in the window
  Bell own_bell_{};        // when there is no window
  bool has_remote_ = false;
};

}  // namespace lockstep
