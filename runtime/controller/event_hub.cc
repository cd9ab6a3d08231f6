// A set of jobs and a thread (runtime/controller/event_hub.h).
#include "runtime/controller/event_hub.h"

#include "chip/check.h"

namespace lockstep {

EventHub::EventHub(JobStore* store) : store_(store), thread_([this] { Loop(); }) {}

EventHub::~EventHub() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void EventHub::Changed(JobNumber job) {
  const std::lock_guard lock(mutex_);
  const auto it = jobs_.find(job);
  if (it == jobs_.end()) return;
  ++it->second.version;
  changed_.insert(job);
  wake_.notify_one();
}

void EventHub::Add(JobNumber job, const std::shared_ptr<Watcher>& watcher) {
  const std::lock_guard lock(mutex_);
  jobs_[job].watchers.emplace(watcher.get(), watcher);
}

void EventHub::Remove(JobNumber job, Watcher* watcher) {
  const std::lock_guard lock(mutex_);
  const auto it = jobs_.find(job);
  if (it == jobs_.end()) return;
  it->second.watchers.erase(watcher);
  if (it->second.watchers.empty()) jobs_.erase(it);
}

int64_t EventHub::watchers() const {
  const std::lock_guard lock(mutex_);
  int64_t sum = 0;
  for (const auto& [job, watched] : jobs_) sum += static_cast<int64_t>(watched.watchers.size());
  return sum;
}

absl::StatusOr<std::shared_ptr<const EventBatch>> EventHub::Read(JobNumber job, int64_t after) {
  int64_t version = -1;
  {
    const std::lock_guard lock(mutex_);
    const auto it = jobs_.find(job);
    if (it != jobs_.end()) {
      const Watched& watched = it->second;
      version = watched.version;
      if (watched.read_version == version && watched.read_after == after) return watched.read;
    }
  }
  auto batch = std::make_shared<EventBatch>();
  ASSIGN_OR_RETURN(batch->events, store_->Events(job, after, kBatch, &batch->ended));
  const std::lock_guard lock(mutex_);
  const auto it = jobs_.find(job);
  // Read before a change that came meanwhile: right for this reader, too old for others.
  if (it != jobs_.end() && it->second.version == version) {
    it->second.read_version = version;
    it->second.read_after = after;
    it->second.read = batch;
  }
  return std::shared_ptr<const EventBatch>(std::move(batch));
}

void EventHub::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || !changed_.empty(); });
    if (stop_) return;
    const JobNumber job = *changed_.begin();
    changed_.erase(changed_.begin());
    std::vector<std::shared_ptr<Watcher>> watchers;
    if (const auto it = jobs_.find(job); it != jobs_.end()) {
      for (const auto& [raw, weak] : it->second.watchers) {
        if (std::shared_ptr<Watcher> watcher = weak.lock()) watchers.push_back(std::move(watcher));
      }
    }
    lock.unlock();
    for (const std::shared_ptr<Watcher>& watcher : watchers) watcher->Wake();
    watchers.clear();
    lock.lock();
  }
}

}  // namespace lockstep
