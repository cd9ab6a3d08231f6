#pragma once
// Wakes watchers when their job's history has grown. Changes are announced by any thread and cost
// it nothing more than an entry in a set; one thread of the hub's own wakes the watchers. Watchers
// at the same place of one history share one reading of the store, so a thousand of them cost
// little more than one, in time and in memory.

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/jobs/store.h"

namespace lockstep {

// Some events of a history, and whether the last of them ends it.
struct EventBatch {
  std::vector<v1::JobEvent> events;
  bool ended = false;
};

class EventHub {
 public:
  class Watcher {
   public:
    virtual ~Watcher() = default;
    // There may be more to read. In no lock of the hub.
    virtual void Wake() = 0;
  };

  explicit EventHub(JobStore* store);
  ~EventHub();

  // Of any thread; the store's listener.
  void Changed(JobNumber job);

  // From now on `watcher` is woken at changes of `job`, as long as it lives.
  void Add(JobNumber job, const std::shared_ptr<Watcher>& watcher);
  void Remove(JobNumber job, Watcher* watcher);
  int64_t watchers() const;

  // At most kBatch events after `after`. NotFound: the job was deleted.
  static constexpr int kBatch = 32;
  absl::StatusOr<std::shared_ptr<const EventBatch>> Read(JobNumber job, int64_t after);

 private:
  struct Watched {
    std::map<Watcher*, std::weak_ptr<Watcher>> watchers;
    int64_t version = 0;  // counts changes
    // The last batch that was read, when `version` was what it says.
    int64_t read_version = -1, read_after = -1;
    std::shared_ptr<const EventBatch> read;
  };
  void Loop();

  JobStore* const store_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::map<JobNumber, Watched> jobs_;  // those that are watched
  std::set<JobNumber> changed_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace lockstep
