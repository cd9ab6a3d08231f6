// A job is one row: its message, and the columns that are searched (runtime/jobs/store.h).
#include "runtime/jobs/store.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/message_differencer.h>

#include <random>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "chip/check.h"
#include "runtime/jobs/now.h"

namespace lockstep {
namespace {

constexpr int kSchemaVersion = 1;
constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  request_id TEXT UNIQUE, state INTEGER NOT NULL, kind TEXT NOT NULL, label TEXT NOT NULL,"
    "  last_seq INTEGER NOT NULL, job BLOB NOT NULL);"
    "CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, id);"
    "CREATE TABLE IF NOT EXISTS events (job INTEGER NOT NULL REFERENCES jobs (id)"
    "  ON DELETE CASCADE, seq INTEGER NOT NULL, event BLOB NOT NULL, PRIMARY KEY (job, seq))"
    "  WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS artifacts (job INTEGER NOT NULL REFERENCES jobs (id)"
    "  ON DELETE CASCADE, name TEXT NOT NULL, path TEXT NOT NULL, artifact BLOB NOT NULL,"
    "  PRIMARY KEY (job, name)) WITHOUT ROWID;";

std::string NewStoreId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x", random(), random());
}

absl::StatusOr<v1::Job> ParseJob(const std::string& bytes) {
  v1::Job job;
  if (job.ParseFromString(bytes)) return job;
  return absl::DataLossError("job store: a job's row cannot be read");
}

absl::Status NoSuchJob(JobNumber job) {
  return absl::NotFoundError(absl::StrCat("no job ", JobId(job)));
}


// What a list of many jobs leaves out.
v1::Job Shortened(v1::Job job) {
  job.mutable_failure()->clear_stderr_tail();
  if (job.failure().reason() == v1::Failure::REASON_UNSPECIFIED) job.clear_failure();
  v1::JobSpec& spec = *job.mutable_spec();
  if (spec.has_generate() && spec.generate().has_prompt_ids()) {
    spec.mutable_generate()->mutable_prompt_ids()->clear_ids();
  }
  return job;
}

}  // namespace

std::string JobId(JobNumber job) { return absl::StrCat("j", job); }

std::optional<JobNumber> ParseJobId(absl::string_view id) {
  JobNumber number = 0;
  if (!absl::ConsumePrefix(&id, "j") || !absl::SimpleAtoi(id, &number) || number < 1) {
    return std::nullopt;
  }
  if (absl::StrCat(number) != id) return std::nullopt;  // one form of each
  return number;
}

std::string JobKind(const v1::JobSpec& spec) {
  const auto* field = v1::JobSpec::descriptor()->FindFieldByNumber(spec.kind_case());
  return field == nullptr ? "" : field->name();
}

bool HasEnded(v1::JobState state) {
  return state == v1::SUCCEEDED || state == v1::FAILED || state == v1::CANCELLED;
}

absl::StatusOr<std::unique_ptr<JobStore>> JobStore::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(path));
  std::unique_ptr<JobStore> store(new JobStore(std::move(database)));
  RETURN_IF_ERROR(store->Prepare());
  return store;
}

absl::Status JobStore::Prepare() {
  ASSIGN_OR_RETURN(std::unique_ptr<Query> version, database_->Prepare("PRAGMA user_version"));
  RETURN_IF_ERROR(version->Step().status());
  const int64_t found = version->Int(0);
  version.reset();
  if (found != 0 && found != kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "job store: its form is version ", found, ", this program knows ", kSchemaVersion));
  }
  Transaction transaction(database_.get());
  RETURN_IF_ERROR(transaction.Begin(Durability::kDisk));
  RETURN_IF_ERROR(database_->Execute(kSchema));
  ASSIGN_OR_RETURN(std::unique_ptr<Query> insert,
                   database_->Prepare("INSERT OR IGNORE INTO meta VALUES ('id', ?)"));
  RETURN_IF_ERROR(insert->Bind(NewStoreId()).Run());
  RETURN_IF_ERROR(database_->Execute(absl::StrCat("PRAGMA user_version=", kSchemaVersion)));
  RETURN_IF_ERROR(transaction.Commit());
  ASSIGN_OR_RETURN(std::unique_ptr<Query> id,
                   database_->Prepare("SELECT value FROM meta WHERE name = 'id'"));
  RETURN_IF_ERROR(id->Step().status());
  id_ = id->Bytes(0);
  return absl::OkStatus();
}

void JobStore::Notify(JobNumber job) {
  if (listener_) listener_(job);
}

absl::StatusOr<v1::Job> JobStore::Read(JobNumber job) {
  ASSIGN_OR_RETURN(std::unique_ptr<Query> query,
                   database_->Prepare("SELECT job FROM jobs WHERE id = ?"));
  ASSIGN_OR_RETURN(const bool found, query->Bind(job).Step());
  if (!found) return NoSuchJob(job);
  return ParseJob(query->Bytes(0));
}

absl::StatusOr<std::string> JobStore::ReadText(JobNumber job) {
  ASSIGN_OR_RETURN(std::unique_ptr<Query> query,
                   database_->Prepare("SELECT event FROM events WHERE job = ? ORDER BY seq"));
  query->Bind(job);
  std::string text;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, query->Step());
    if (!more) return text;
    v1::JobEvent event;
    if (!event.ParseFromString(query->Bytes(0))) {
      return absl::DataLossError("job store: an event cannot be read");
    }
    text += event.text();
  }
}

absl::Status JobStore::Write(const v1::Job& job) {
  ASSIGN_OR_RETURN(std::unique_ptr<Query> query,
                   database_->Prepare("UPDATE jobs SET state = ?, job = ? WHERE id = ?"));
  const JobNumber number = ParseJobId(job.id()).value_or(0);
  return query->Bind(job.state()).BindBlob(job.SerializeAsString()).Bind(number).Run();
}

absl::StatusOr<int64_t> JobStore::LastSeq(JobNumber job) {
  ASSIGN_OR_RETURN(std::unique_ptr<Query> query,
                   database_->Prepare("SELECT last_seq FROM jobs WHERE id = ?"));
  ASSIGN_OR_RETURN(const bool found, query->Bind(job).Step());
  if (!found) return NoSuchJob(job);
  return query->Int(0);
}

absl::Status JobStore::Append(JobNumber job, v1::JobEvent event) {
  ASSIGN_OR_RETURN(const int64_t last, LastSeq(job));
  event.set_seq(last + 1);
  *event.mutable_time() = Now();
  ASSIGN_OR_RETURN(std::unique_ptr<Query> insert,
                   database_->Prepare("INSERT INTO events VALUES (?, ?, ?)"));
  RETURN_IF_ERROR(insert->Bind(job).Bind(last + 1).BindBlob(event.SerializeAsString()).Run());
  ASSIGN_OR_RETURN(std::unique_ptr<Query> update,
                   database_->Prepare("UPDATE jobs SET last_seq = ? WHERE id = ?"));
  return update->Bind(last + 1).Bind(job).Run();
}

absl::Status JobStore::Tell(const v1::Job& job, const v1::Failure* why) {
  v1::JobEvent event;
  event.mutable_state()->set_state(job.state());
  event.mutable_state()->set_attempt(job.attempt());
  if (why != nullptr) *event.mutable_state()->mutable_failure() = *why;
  return Append(ParseJobId(job.id()).value_or(0), std::move(event));
}

absl::StatusOr<std::optional<v1::Job>> JobStore::ReadRequest(const std::string& request_id,
                                                             const v1::JobSpec& spec) {
  if (request_id.empty()) return std::optional<v1::Job>();
  ASSIGN_OR_RETURN(std::unique_ptr<Query> query,
                   database_->Prepare("SELECT job FROM jobs WHERE request_id = ?"));
  ASSIGN_OR_RETURN(const bool found, query->Bind(request_id).Step());
  if (!found) return std::optional<v1::Job>();
  ASSIGN_OR_RETURN(v1::Job job, ParseJob(query->Bytes(0)));
  if (google::protobuf::util::MessageDifferencer::Equals(job.spec(), spec)) {
    return std::optional<v1::Job>(std::move(job));
  }
  return absl::AlreadyExistsError(
      absl::StrCat("request_id ", request_id, " made job ", job.id(), " from another spec"));
}

absl::StatusOr<std::optional<v1::Job>> JobStore::FindRequest(const std::string& request_id,
                                                             const v1::JobSpec& spec) {
  const std::lock_guard lock(mutex_);
  return ReadRequest(request_id, spec);
}

absl::StatusOr<JobStore::Accepted> JobStore::Insert(const Submission& submission, int64_t* queued,
                                                    int max_queued) {
  ASSIGN_OR_RETURN(std::optional<v1::Job> earlier,
                   ReadRequest(submission.request_id, submission.spec));
  if (earlier) return Accepted{*std::move(earlier), false};
  if (*queued >= max_queued) {
    return absl::ResourceExhaustedError(absl::StrCat(max_queued, " jobs wait already"));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Query> insert,
                   database_->Prepare("INSERT INTO jobs (request_id, state, kind, label, last_seq,"
                                      " job) VALUES (NULLIF(?, ''), ?, ?, ?, 0, x'')"));
  RETURN_IF_ERROR(insert->Bind(submission.request_id).Bind(v1::QUEUED)
                      .Bind(JobKind(submission.spec)).Bind(submission.spec.label()).Run());
  insert.reset();
  v1::Job job;
  job.set_id(JobId(database_->last_row_id()));
  job.set_request_id(submission.request_id);
  *job.mutable_spec() = submission.spec;
  job.set_state(v1::QUEUED);
  *job.mutable_created() = Now();
  *job.mutable_needs() = submission.needs;
  RETURN_IF_ERROR(Write(job));
  RETURN_IF_ERROR(Tell(job, nullptr));
  ++*queued;
  return Accepted{std::move(job), true};
}

absl::Status JobStore::InsertAll(const std::vector<Submission>& submissions, int max_queued,
                                 std::vector<absl::StatusOr<Accepted>>* results) {
  const std::lock_guard lock(mutex_);
  Transaction transaction(database_.get());
  RETURN_IF_ERROR(transaction.Begin(Durability::kDisk));
  ASSIGN_OR_RETURN(int64_t queued, CountLocked(v1::QUEUED));
  for (const Submission& submission : submissions) {
    results->push_back(Insert(submission, &queued, max_queued));
    const absl::Status& status = results->back().status();
    // The store's own failure may have left half a job: then none of them counts.
    if (absl::IsUnavailable(status) || absl::IsDataLoss(status)) return status;
  }
  return transaction.Commit();
}

std::vector<absl::StatusOr<JobStore::Accepted>> JobStore::Submit(
    const std::vector<Submission>& submissions, int max_queued) {
  std::vector<absl::StatusOr<Accepted>> results;
  const absl::Status status = InsertAll(submissions, max_queued, &results);
  if (!status.ok()) return {submissions.size(), absl::StatusOr<Accepted>(status)};
  for (const absl::StatusOr<Accepted>& result : results) {
    if (result.ok() && result->fresh) Notify(*ParseJobId(result->job.id()));
  }
  return results;
}

absl::StatusOr<v1::Job> JobStore::Get(JobNumber number, bool with_text) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(v1::Job job, Read(number));
  if (with_text) {
    ASSIGN_OR_RETURN(*job.mutable_text(), ReadText(number));
  }
  return job;
}

absl::StatusOr<std::string> JobStore::Text(JobNumber job) {
  const std::lock_guard lock(mutex_);
  return ReadText(job);
}

absl::StatusOr<std::vector<v1::Job>> JobStore::List(const JobFilter& filter) {
  uint32_t mask = 0;
  for (v1::JobState state : filter.states) mask |= 1u << state;
  if (filter.states.empty()) mask = ~0u;
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(
      std::unique_ptr<Query> query,
      database_->Prepare("SELECT job FROM jobs WHERE id < ?1 AND ((?2 >> state) & 1)"
                         " AND (?3 = '' OR kind = ?3) AND (?4 = '' OR label = ?4)"
                         " ORDER BY id DESC LIMIT ?5"));
  query->Bind(filter.before).Bind(mask).Bind(filter.kind).Bind(filter.label).Bind(filter.limit);
  std::vector<v1::Job> jobs;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, query->Step());
    if (!more) return jobs;
    ASSIGN_OR_RETURN(v1::Job job, ParseJob(query->Bytes(0)));
    jobs.push_back(Shortened(std::move(job)));
  }
}

absl::StatusOr<std::vector<v1::Job>> JobStore::Unfinished() {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(std::unique_ptr<Query> query,
                   database_->Prepare("SELECT job FROM jobs WHERE state IN (?, ?) ORDER BY id"));
  query->Bind(v1::QUEUED).Bind(v1::RUNNING);
  std::vector<v1::Job> jobs;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, query->Step());
    if (!more) return jobs;
    ASSIGN_OR_RETURN(v1::Job job, ParseJob(query->Bytes(0)));
    jobs.push_back(std::move(job));
  }
}

absl::StatusOr<int64_t> JobStore::CountLocked(v1::JobState state) {
  ASSIGN_OR_RETURN(std::unique_ptr<Query> count,
                   database_->Prepare("SELECT COUNT(*) FROM jobs WHERE state = ?"));
  RETURN_IF_ERROR(count->Bind(state).Step().status());
  return count->Int(0);
}

absl::StatusOr<int64_t> JobStore::Count(v1::JobState state) {
  const std::lock_guard lock(mutex_);
  return CountLocked(state);
}

absl::StatusOr<std::vector<v1::JobEvent>> JobStore::Events(JobNumber job, int64_t after, int limit,
                                                           bool* ended) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const v1::Job now, Read(job));
  ASSIGN_OR_RETURN(const int64_t last, LastSeq(job));
  ASSIGN_OR_RETURN(std::unique_ptr<Query> query,
                   database_->Prepare("SELECT event FROM events WHERE job = ? AND seq > ?"
                                      " ORDER BY seq LIMIT ?"));
  query->Bind(job).Bind(after).Bind(limit);
  std::vector<v1::JobEvent> events;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, query->Step());
    if (!more) break;
    if (!events.emplace_back().ParseFromString(query->Bytes(0))) {
      return absl::DataLossError("job store: an event cannot be read");
    }
  }
  const int64_t reached = events.empty() ? after : events.back().seq();
  *ended = HasEnded(now.state()) && reached >= last;
  return events;
}

absl::StatusOr<StoredArtifact> JobStore::FindArtifact(JobNumber job, const std::string& name) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(LastSeq(job).status());
  ASSIGN_OR_RETURN(
      std::unique_ptr<Query> query,
      database_->Prepare("SELECT path, artifact FROM artifacts WHERE job = ? AND name = ?"));
  ASSIGN_OR_RETURN(const bool found, query->Bind(job).Bind(name).Step());
  if (!found) return absl::NotFoundError(absl::StrCat("job ", JobId(job), " has no such artifact"));
  StoredArtifact artifact;
  artifact.path = query->Bytes(0);
  if (!artifact.artifact.ParseFromString(query->Bytes(1))) {
    return absl::DataLossError("job store: an artifact's row cannot be read");
  }
  return artifact;
}

absl::Status JobStore::Delete(JobNumber number) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const v1::Job job, Read(number));
  if (!HasEnded(job.state())) {
    return absl::FailedPreconditionError(absl::StrCat("job ", job.id(), " is ",
                                                      v1::JobState_Name(job.state()),
                                                      "; cancel it first"));
  }
  Transaction transaction(database_.get());
  RETURN_IF_ERROR(transaction.Begin(Durability::kDisk));
  ASSIGN_OR_RETURN(std::unique_ptr<Query> query,
                   database_->Prepare("DELETE FROM jobs WHERE id = ?"));
  RETURN_IF_ERROR(query->Bind(number).Run());
  query.reset();
  return transaction.Commit();
}

}  // namespace lockstep
