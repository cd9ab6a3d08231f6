// Stream rules over runs: a sweep a stream, by diagonal (chip/timing_streams.h).
#include "chip/timing_streams.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {

int Downstream(int stream, int position) {
  return StreamDirection(stream) == Direction::kEast ? position : kPositions - 1 - position;
}

StreamUse Use(const Run& run, int32_t id, int stream, int position, int64_t later) {
  const int at = Downstream(stream, position);
  return {{run.first + later - at, run.period, run.count}, id, at, false};
}

bool Earlier(const StreamUse& a, const StreamUse& b) {
  return a.diagonals.first < b.diagonals.first;
}

void Sort(std::vector<StreamUse>& uses) {
  if (!std::is_sorted(uses.begin(), uses.end(), Earlier)) {
    std::stable_sort(uses.begin(), uses.end(), Earlier);
  }
}

// Drops the uses that ended before diagonal `from`; calls `each` with the others.
template <typename Each>
void ForLive(std::vector<StreamUse>& live, int64_t from, const Each& each) {
  size_t kept = 0;
  for (size_t i = 0; i < live.size(); ++i) {
    if (live[i].diagonals.last() < from) continue;
    if (kept != i) live[kept] = live[i];
    each(live[kept++]);
  }
  live.resize(kept);
}

std::string Where(int stream, int position) {
  const bool east = StreamDirection(stream) == Direction::kEast;
  return absl::StrCat("stream ", east ? "e" : "w", stream % kStreamsPerDirection, " at position ",
                      east ? position : kPositions - 1 - position);
}

}  // namespace

void StreamCheck::AddWrite(const Run& run, int32_t id, int stream, int position, int64_t latency) {
  const StreamUse use = Use(run, id, stream, position, latency);
  streams_[stream].tracks[use.position].writes.push_back(use);
}

void StreamCheck::AddRead(const Run& run, int32_t id, int stream, int position, int64_t delay) {
  StreamUse use = Use(run, id, stream, position, delay);
  use.second_fetch = delay > 0;
  streams_[stream].reads.push_back(use);
}

void StreamCheck::Check(const Schedule& schedule, EarliestFault& faults,
                        std::vector<int64_t>& ages) {
  for (int s = 0; s < kStreams; ++s) {
    Stream& stream = streams_[s];
    for (Track& track : stream.tracks) {
      Sort(track.writes);
      CheckConflicts(schedule, s, track, faults);
    }
    Sort(stream.reads);
    for (const StreamUse& read : stream.reads) CheckRead(stream, s, read, faults, ages);
  }
}

void StreamCheck::CheckConflicts(const Schedule& schedule, int stream, Track& track,
                                 EarliestFault& faults) {
  for (const StreamUse& write : track.writes) {
    ForLive(track.live, write.diagonals.first, [&](const StreamUse& other) {
      OfferConflict(schedule, stream, other, write, faults);
    });
    track.live.push_back(write);
  }
  track.live.clear();
}

void StreamCheck::OfferConflict(const Schedule& schedule, int stream, const StreamUse& a,
                                const StreamUse& b, EarliestFault& faults) {
  const Indices both = CommonIndices(a.diagonals, b.diagonals);
  if (both.count == 0) return;
  const int64_t i = both.first;
  const int64_t diagonal = a.diagonals.at(i);
  const int64_t j = (diagonal - b.diagonals.first) / b.diagonals.period;
  const Run &ra = schedule.runs[a.run], &rb = schedule.runs[b.run];
  const DispatchPlace pa{ra.cycle(i), ra.queue, Phase::kDispatch, ra.index, 0};
  const DispatchPlace pb{rb.cycle(j), rb.queue, Phase::kDispatch, rb.index, 0};
  const bool a_later = pb < pa;
  faults.Offer(FaultKind::kStreamConflict, a_later ? a.run : b.run, a_later ? i : j,
               absl::StrCat(Where(stream, a.position), " @", diagonal + a.position, " also from ",
                            QueueName(a_later ? rb.queue : ra.queue)));
}

int64_t StreamCheck::Match(Track& track, const StreamUse& read) {
  const Progression& wanted = read.diagonals;
  for (; track.next < track.writes.size() &&
         track.writes[track.next].diagonals.first <= wanted.first;
       ++track.next) {
    track.live.push_back(track.writes[track.next]);
  }
  int64_t claimed = 0;
  ForLive(track.live, wanted.first, [&](const StreamUse& write) {
    claimed += coverage_.Claim(CommonIndices(wanted, write.diagonals));
  });
  for (size_t i = track.next; i < track.writes.size(); ++i) {
    const Progression& written = track.writes[i].diagonals;
    if (written.first > wanted.last() || coverage_.complete()) break;
    claimed += coverage_.Claim(CommonIndices(wanted, written));
  }
  return claimed;
}

void StreamCheck::CheckRead(Stream& stream, int number, const StreamUse& read,
                            EarliestFault& faults, std::vector<int64_t>& ages) {
  coverage_.Reset(read.diagonals.count);
  int64_t age = 0;
  for (int p = read.position; p >= 0 && !coverage_.complete(); --p) {
    Track& track = stream.tracks[p];
    if (!track.writes.empty()) age += Match(track, read) * (read.position - p);
  }
  ages[read.run] += age;
  if (coverage_.complete()) return;
  const int64_t i = coverage_.first_free();
  faults.Offer(FaultKind::kStreamEmpty, read.run, i,
               read.second_fetch ? Phase::kSecondFetch : Phase::kDispatch,
               read.diagonals.at(i) + read.position, Where(number, read.position));
}

}  // namespace lockstep
