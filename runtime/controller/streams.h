#pragma once
// The two server streams: a job's history and an artifact's bytes. Each has one message under way
// at a time, so a client that reads slowly costs no memory.

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <string>

#include "lockstep/v1/controller.pb.h"
#include "runtime/controller/event_hub.h"

namespace lockstep {

// Told once, when the stream has ended, with its code.
using StreamEnd = std::function<void(grpc::StatusCode code)>;

// Ends with OK after the job's last event. Deletes itself.
grpc::ServerWriteReactor<v1::JobEvent>* NewWatch(EventHub* hub, JobNumber job, int64_t after,
                                                 StreamEnd end);

// The file's bytes from `offset` in chunks of 64 KiB. Deletes itself.
grpc::ServerWriteReactor<v1::ArtifactChunk>* NewArtifactStream(const std::string& path,
                                                               int64_t offset, StreamEnd end);

// A stream that ends at once.
template <typename Message>
class EndedStream : public grpc::ServerWriteReactor<Message> {
 public:
  explicit EndedStream(const grpc::Status& status) { this->Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace lockstep
