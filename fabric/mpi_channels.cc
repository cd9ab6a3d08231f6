// Rings and messages under one roof. The window of a host, owned by its lowest rank:
//
//   bell of rank 0 | bell of rank 1 | ... | ring of pair (a, b) | ring of pair (a, c) | ...
//
// with pairs in the same order in every rank, so that each finds its rings by counting.
#include "fabric/mpi_channels.h"

#include <mpi.h>

#include <algorithm>
#include <cstring>

#include "chip/check.h"

namespace lockstep {
namespace {

constexpr int kTag = 1;
constexpr uint64_t kMostRingBytes = 128 << 10, kLeastRingBytes = 8 << 10;
constexpr uint64_t kWindowBudget = 32 << 20;  // rings shrink towards kLeastRingBytes above it
constexpr int64_t kFirstSleepUs = 20, kLongestSleepUs = 1000;
constexpr size_t kMostInFlight = 4 << 20;  // of one MPI message

}  // namespace

struct MpiChannels::Peer {
  int rank = 0;
  Bell* bell = nullptr;  // of a peer on this host
  ByteRing to, from;     // likewise
  std::string outbox, inbox;
  size_t sent = 0;       // of the outbox
  bool listed = false;   // in unsent_
  std::string in_flight;  // of the MPI message under way
  MPI_Request request = MPI_REQUEST_NULL;
};

struct MpiChannels::Mpi {
  MPI_Comm world = MPI_COMM_NULL, host = MPI_COMM_NULL;
  MPI_Win window = MPI_WIN_NULL;
  std::string buffer;
};

MpiChannels::MpiChannels(const MpiSession& session, const std::vector<std::vector<int>>& pairs,
                         bool shared_memory)
    : session_(session), rank_(session.rank()), peer_index_(session.size(), -1), mpi_(new Mpi) {
  MPI_Comm_dup(MPI_COMM_WORLD, &mpi_->world);
  for (int rank : pairs[rank_]) {
    peer_index_[rank] = static_cast<int>(peers_.size());
    peers_.push_back(std::make_unique<Peer>());
    peers_.back()->rank = rank;
  }
  if (shared_memory) OpenRings(session, pairs);
  for (const auto& peer : peers_) has_remote_ = has_remote_ || !peer->to.exists();
}

void MpiChannels::OpenRings(const MpiSession& session, const std::vector<std::vector<int>>& pairs) {
  const std::vector<int>& host_of = session.host_of();
  const int my_host = host_of[rank_];
  uint64_t rings = 0;
  for (size_t a = 0; a < pairs.size(); ++a) {
    if (host_of[a] != my_host) continue;
    for (int b : pairs[a]) rings += host_of[b] == my_host ? 1 : 0;
  }
  uint64_t capacity = kMostRingBytes;
  while (capacity > kLeastRingBytes && capacity * rings > kWindowBudget) capacity /= 2;
  const uint64_t bell_bytes = sizeof(Bell) * pairs.size();
  const uint64_t bytes = 64 + bell_bytes + rings * ByteRing::Footprint(capacity);

  MPI_Comm_split(mpi_->world, my_host, rank_, &mpi_->host);
  void* base = nullptr;
  MPI_Win_allocate_shared(rank_ == my_host ? static_cast<MPI_Aint>(bytes) : 0, 1, MPI_INFO_NULL,
                          mpi_->host, &base, &mpi_->window);
  MPI_Aint size = 0;
  int unit = 0;
  MPI_Win_shared_query(mpi_->window, 0, &size, &unit, &base);
  // The window's start is aligned alike in every rank only relative to its page: align the offset.
  char* at = static_cast<char*>(base);
  at += (64 - reinterpret_cast<uintptr_t>(at) % 64) % 64;
  if (rank_ == my_host) std::memset(at, 0, bytes - 64);
  session.AwaitAll();
  bells_ = reinterpret_cast<Bell*>(at);
  at += bell_bytes;
  for (int a = 0; a < static_cast<int>(pairs.size()); ++a) {
    if (host_of[a] != my_host) continue;
    for (int b : pairs[a]) {
      if (host_of[b] != my_host) continue;
      if (a == rank_) peers_[peer_index_[b]]->to = ByteRing(at, capacity);
      if (b == rank_) peers_[peer_index_[a]]->from = ByteRing(at, capacity);
      at += ByteRing::Footprint(capacity);
    }
  }
  for (const auto& peer : peers_) {
    if (peer->to.exists()) peer->bell = &bells_[peer->rank];
  }
}

MpiChannels::~MpiChannels() {
  const Handler drop = [](int, const FrameHeader&, absl::string_view) {};
  while (!Flush()) {
    if (!Poll(drop)) Wait(-1);
  }
  // Nobody may leave while a message of his is not taken: the peer polls no more.
  session_.AwaitAll();
  if (mpi_->window != MPI_WIN_NULL) MPI_Win_free(&mpi_->window);
  if (mpi_->host != MPI_COMM_NULL) MPI_Comm_free(&mpi_->host);
  MPI_Comm_free(&mpi_->world);
}

void MpiChannels::Send(int to, uint16_t type, uint16_t epoch, absl::string_view body,
                       const void* tail, size_t tail_bytes) {
  LOCKSTEP_CHECK(peer_index_[to] >= 0, "rank %d has no channel to rank %d", rank_, to);
  Peer& peer = *peers_[peer_index_[to]];
  const size_t bytes = body.size() + tail_bytes;
  LOCKSTEP_CHECK(bytes <= UINT32_MAX, "a frame of %d bytes", bytes);
  const FrameHeader header = {static_cast<uint32_t>(bytes), type, epoch};
  peer.outbox.append(reinterpret_cast<const char*>(&header), sizeof(header));
  peer.outbox.append(body.data(), body.size());
  if (tail_bytes > 0) peer.outbox.append(static_cast<const char*>(tail), tail_bytes);
  if (peer.listed) return;
  peer.listed = true;
  unsent_.push_back(&peer);
}

bool MpiChannels::Flush() {
  size_t kept = 0;
  for (Peer* peer : unsent_) {
    if (FlushPeer(*peer)) {
      peer->listed = false;
    } else {
      unsent_[kept++] = peer;
    }
  }
  unsent_.resize(kept);
  return kept == 0;
}

bool MpiChannels::FlushPeer(Peer& peer) {
  if (peer.to.exists()) {
    const uint64_t n =
        peer.to.Write(peer.outbox.data() + peer.sent, peer.outbox.size() - peer.sent);
    peer.sent += n;
    if (n > 0) peer.bell->Ring();
    if (peer.sent < peer.outbox.size()) return false;
    peer.outbox.clear();
    peer.sent = 0;
    return true;
  }
  int done = 1;
  if (peer.request != MPI_REQUEST_NULL) MPI_Test(&peer.request, &done, MPI_STATUS_IGNORE);
  if (!done) return false;
  if (peer.outbox.empty()) return true;
  const size_t n = std::min(peer.outbox.size() - peer.sent, kMostInFlight);
  peer.in_flight.assign(peer.outbox, peer.sent, n);
  peer.sent += n;
  if (peer.sent == peer.outbox.size()) {
    peer.outbox.clear();
    peer.sent = 0;
  }
  MPI_Isend(peer.in_flight.data(), static_cast<int>(peer.in_flight.size()), MPI_BYTE, peer.rank,
            kTag, mpi_->world, &peer.request);
  return false;
}

void MpiChannels::ReceiveMessages() {
  while (true) {
    int there = 0;
    MPI_Message message;
    MPI_Status status;
    MPI_Improbe(MPI_ANY_SOURCE, kTag, mpi_->world, &there, &message, &status);
    if (!there) return;
    int bytes = 0;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    mpi_->buffer.resize(bytes);
    MPI_Mrecv(mpi_->buffer.data(), bytes, MPI_BYTE, &message, MPI_STATUS_IGNORE);
    peers_[peer_index_[status.MPI_SOURCE]]->inbox += mpi_->buffer;
  }
}

bool MpiChannels::Poll(const Handler& handler) {
  if (has_remote_) ReceiveMessages();
  bool any = false;
  for (const auto& peer : peers_) {
    if (peer->from.exists() && peer->from.ReadAll(&peer->inbox)) peer->bell->Ring();
    any = Deliver(*peer, handler) || any;
  }
  return any;
}

bool MpiChannels::Deliver(Peer& peer, const Handler& handler) {
  size_t at = 0;
  FrameHeader header;
  while (peer.inbox.size() - at >= sizeof(header)) {
    std::memcpy(&header, peer.inbox.data() + at, sizeof(header));
    if (peer.inbox.size() - at - sizeof(header) < header.bytes) break;
    handler(peer.rank, header,
            absl::string_view(peer.inbox).substr(at + sizeof(header), header.bytes));
    at += sizeof(header) + header.bytes;
  }
  if (at > 0) peer.inbox.erase(0, at);
  return at > 0;
}

bool MpiChannels::News() const {
  for (const auto& peer : peers_) {
    if (peer->from.exists() && !peer->from.empty()) return true;
  }
  for (const Peer* peer : unsent_) {
    if (peer->to.exists() && !peer->to.full()) return true;
  }
  return false;
}

bool MpiChannels::Wait(int64_t timeout_us) {
  Bell& bell = bells_ != nullptr ? bells_[rank_] : own_bell_;
  const auto news = [this] { return News(); };
  if (!has_remote_) {
    bell.Sleep(timeout_us, news);
    return News() || timeout_us < 0;
  }
  int64_t slept = 0;
  for (int64_t nap = kFirstSleepUs; timeout_us < 0 || slept < timeout_us; slept += nap) {
    bell.Sleep(nap, news);
    int there = 0;
    MPI_Iprobe(MPI_ANY_SOURCE, kTag, mpi_->world, &there, MPI_STATUS_IGNORE);
    if (there || News()) return true;
    const size_t before = unsent_.size();
    Flush();
    if (unsent_.size() != before) return true;
    nap = std::min(nap * 2, kLongestSleepUs);
  }
  return false;
}

}  // namespace lockstep
