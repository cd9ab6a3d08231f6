// Reactors of gRPC's callback interface (runtime/controller/streams.h).
#include "runtime/controller/streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/controller/errors.h"

namespace lockstep {
namespace {

constexpr size_t kChunkBytes = 64 * 1024;

// Keeps itself alive until OnDone; the hub holds it weakly and may be waking it just then.
class Watch : public grpc::ServerWriteReactor<v1::JobEvent>, public EventHub::Watcher {
 public:
  Watch(EventHub* hub, JobNumber job, int64_t after, StreamEnd end)
      : hub_(hub), job_(job), cursor_(after), end_(std::move(end)) {}

  void Begin(std::shared_ptr<Watch> self) {
    self_ = std::move(self);
    hub_->Add(job_, self_);
    Wake();
  }

  void Wake() override {
    const std::lock_guard lock(mutex_);
    Advance();
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) {
      End(grpc::Status(grpc::StatusCode::CANCELLED, "the client has gone"));
      return;
    }
    Advance();
  }

  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    End(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled, or past the deadline"));
  }

  void OnDone() override {
    hub_->Remove(job_, this);
    if (end_) end_(code_);
    std::shared_ptr<Watch> last = std::move(self_);
  }

 private:
  // Writes the next event if there is one and none is under way.
  void Advance() {
    if (writing_ || finished_) return;
    if (batch_ == nullptr || next_ == batch_->events.size()) {
      if (batch_ != nullptr && batch_->ended) {
        End(grpc::Status::OK);
        return;
      }
      auto batch = hub_->Read(job_, cursor_);
      if (!batch.ok()) {
        End(ToGrpc(batch.status()));
        return;
      }
      batch_ = *std::move(batch);
      next_ = 0;
      if (batch_->events.empty()) {
        if (batch_->ended) End(grpc::Status::OK);
        batch_.reset();
        return;
      }
    }
    const v1::JobEvent& event = batch_->events[next_++];
    cursor_ = event.seq();
    writing_ = true;
    StartWrite(&event);
  }

  void End(const grpc::Status& status) {
    if (finished_) return;
    finished_ = true;
    code_ = status.error_code();
    Finish(status);
  }

  EventHub* const hub_;
  const JobNumber job_;
  std::shared_ptr<Watch> self_;
  std::mutex mutex_;
  int64_t cursor_;
  std::shared_ptr<const EventBatch> batch_;
  size_t next_ = 0;
  bool writing_ = false, finished_ = false;
  grpc::StatusCode code_ = grpc::StatusCode::OK;
  const StreamEnd end_;
};

class ArtifactStream : public grpc::ServerWriteReactor<v1::ArtifactChunk> {
 public:
  ArtifactStream(const std::string& path, int64_t offset, StreamEnd end) : end_(std::move(end)) {
    fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd_ < 0 || lseek(fd_, offset, SEEK_SET) < 0) {
      End(grpc::Status(grpc::StatusCode::DATA_LOSS,
                       absl::StrCat("the artifact cannot be read: ", std::strerror(errno))));
      return;
    }
    Next();
  }
  ~ArtifactStream() override {
    if (fd_ >= 0) close(fd_);
  }

  void OnWriteDone(bool ok) override {
    if (ok) {
      Next();
    } else {
      End(grpc::Status(grpc::StatusCode::CANCELLED, "the client has gone"));
    }
  }
  void OnDone() override {
    if (end_) end_(code_);
    delete this;
  }

 private:
  void Next() {
    std::string& data = *chunk_.mutable_data();
    data.resize(kChunkBytes);
    ssize_t n;
    while ((n = read(fd_, data.data(), data.size())) < 0 && errno == EINTR) {
    }
    if (n < 0) {
      End(grpc::Status(grpc::StatusCode::DATA_LOSS, "the artifact cannot be read"));
    } else if (n == 0) {
      End(grpc::Status::OK);
    } else {
      data.resize(static_cast<size_t>(n));
      StartWrite(&chunk_);
    }
  }
  void End(const grpc::Status& status) {
    code_ = status.error_code();
    Finish(status);
  }

  int fd_ = -1;
  v1::ArtifactChunk chunk_;
  grpc::StatusCode code_ = grpc::StatusCode::OK;
  const StreamEnd end_;
};

}  // namespace

grpc::ServerWriteReactor<v1::JobEvent>* NewWatch(EventHub* hub, JobNumber job, int64_t after,
                                                 StreamEnd end) {
  auto watch = std::make_shared<Watch>(hub, job, after, std::move(end));
  Watch* const raw = watch.get();
  raw->Begin(std::move(watch));
  return raw;
}

grpc::ServerWriteReactor<v1::ArtifactChunk>* NewArtifactStream(const std::string& path,
                                                               int64_t offset, StreamEnd end) {
  return new ArtifactStream(path, offset, std::move(end));
}

}  // namespace lockstep
