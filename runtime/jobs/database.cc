// Thin over SQLite's C interface (runtime/jobs/database.h).
#include "runtime/jobs/database.h"

#include <sqlite3.h>

#include "absl/strings/str_cat.h"
#include "chip/check.h"

namespace lockstep {
namespace {

absl::Status SqliteError(sqlite3* database, absl::string_view tried) {
  const int code = sqlite3_errcode(database);
  const std::string message =
      absl::StrCat("job store: ", sqlite3_errmsg(database), " (", tried, ")");
  switch (code) {
    case SQLITE_FULL:
      return absl::UnavailableError(message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::FailedPreconditionError(absl::StrCat(message, "; another process uses it"));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace

Query::Query(sqlite3* database, sqlite3_stmt* statement)
    : database_(database), statement_(statement) {}

Query::~Query() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::Bind(int64_t value) {
  LOCKSTEP_CHECK(sqlite3_bind_int64(statement_, next_, value) == SQLITE_OK, "parameter %d of %s",
                 next_, sqlite3_sql(statement_));
  ++next_;
  return *this;
}

Query& Query::Bind(absl::string_view text) {
  LOCKSTEP_CHECK(sqlite3_bind_text64(statement_, next_, text.data(), text.size(), SQLITE_TRANSIENT,
                                     SQLITE_UTF8) == SQLITE_OK,
                 "parameter %d of %s", next_, sqlite3_sql(statement_));
  ++next_;
  return *this;
}

Query& Query::BindBlob(absl::string_view bytes) {
  LOCKSTEP_CHECK(sqlite3_bind_blob64(statement_, next_, bytes.data(), bytes.size(),
                                     SQLITE_TRANSIENT) == SQLITE_OK,
                 "parameter %d of %s", next_, sqlite3_sql(statement_));
  ++next_;
  return *this;
}

absl::Status Query::Error() const { return SqliteError(database_, sqlite3_sql(statement_)); }

absl::StatusOr<bool> Query::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return Error();
}

absl::Status Query::Run() { return Step().status(); }

int64_t Query::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Query::Bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), size);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  sqlite3* raw = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  std::unique_ptr<Database> database(new Database(raw));
  if (code != SQLITE_OK) return SqliteError(raw, absl::StrCat("open ", path));
  // Exclusive: no second process, and no shared memory file between processes.
  RETURN_IF_ERROR(database->Execute("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
                                    "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                                    "BEGIN EXCLUSIVE; COMMIT"));
  return database;
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(database_);
}

absl::Status Database::Execute(const std::string& sql) {
  if (sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) {
    return absl::OkStatus();
  }
  return SqliteError(database_, sql);
}

absl::StatusOr<std::unique_ptr<Query>> Database::Prepare(const char* sql) {
  for (const auto& [text, statement] : statements_) {
    if (text == sql) return std::make_unique<Query>(database_, statement);
  }
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) !=
      SQLITE_OK) {
    return SqliteError(database_, sql);
  }
  statements_.emplace_back(sql, statement);
  return std::make_unique<Query>(database_, statement);
}

int64_t Database::last_row_id() const { return sqlite3_last_insert_rowid(database_); }

absl::Status Database::SetDurability(Durability durability) {
  if (durability == durability_) return absl::OkStatus();
  RETURN_IF_ERROR(Execute(durability == Durability::kDisk ? "PRAGMA synchronous=FULL"
                                                          : "PRAGMA synchronous=NORMAL"));
  durability_ = durability;
  return absl::OkStatus();
}

absl::Status Database::Begin(Durability durability) {
  RETURN_IF_ERROR(SetDurability(durability));
  return Execute("BEGIN IMMEDIATE");
}

absl::Status Database::Commit() { return Execute("COMMIT"); }

void Database::Rollback() { sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr); }

absl::Status Transaction::Begin(Durability durability) {
  RETURN_IF_ERROR(database_->Begin(durability));
  open_ = true;
  return absl::OkStatus();
}

absl::Status Transaction::Commit() {
  RETURN_IF_ERROR(database_->Commit());
  open_ = false;
  return absl::OkStatus();
}

}  // namespace lockstep
