// Fuzz target: any bytes as a SubmitRequest, and as what a job's processes say. Requests are refused
// with a code that a client can act on, text that comes out is UTF-8, ids and verdicts have one form.
// No model or topology is there, so nothing large is loaded; tests/controller/hostile_test.py sends
// the like through a channel to a server that has them.
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "chip/check.h"
#include "runtime/jobs/failure.h"
#include "runtime/jobs/guard.h"
#include "runtime/jobs/request.h"
#include "runtime/jobs/store.h"

namespace lockstep {
namespace {

void Request(const uint8_t* data, size_t size) {
  v1::SubmitRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return;
  (void)CheckRequestId(request.request_id());
  const JobRoots roots{{"/nonexistent"}, "/nonexistent"};
  const auto job = PrepareJob(request.spec(), roots, {2, int64_t{1} << 30, 16, 60, 1 << 20});
  if (job.ok()) {
    LOCKSTEP_CHECK(request.spec().has_validate(), "a job without a topology was accepted");
    return;
  }
  const absl::Status& status = job.status();
  LOCKSTEP_CHECK(absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status), "%s",
                 status.ToString());
}

void Words(absl::string_view text) {
  const std::string once = ToUtf8(text);
  LOCKSTEP_CHECK(ToUtf8(once) == once, "what ToUtf8 gives is not UTF-8");
  LOCKSTEP_CHECK(IncompleteUtf8(text) <= 3, "%d", static_cast<int>(IncompleteUtf8(text)));
  const auto failure = JudgeAttempt({Verdict::Kind::kExited, 1}, text);
  LOCKSTEP_CHECK(failure && failure->reason() != v1::Failure::REASON_UNSPECIFIED, "no reason");
  if (const auto verdict = ParseVerdict(text)) {
    LOCKSTEP_CHECK(ParseVerdict(FormatVerdict(*verdict)) == verdict, "a verdict changed");
  }
  if (const auto job = ParseJobId(text)) LOCKSTEP_CHECK(JobId(*job) == text, "two forms of an id");
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  google::protobuf::SetLogHandler(nullptr);  // of text that is no UTF-8, which is much of it
  lockstep::Request(data, size);
  lockstep::Words({reinterpret_cast<const char*>(data), size});
  return 0;
}
