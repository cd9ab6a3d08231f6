#pragma once
// SQLite, as little of it as the job store needs: a file, statements, transactions. Errors are
// absl::Status that name the statement; values of columns are copied out.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace lockstep {

// How far a commit goes. Either outlives the death of the process at any instant.
enum class Durability : uint8_t {
  kDisk,     // and the loss of power
  kProcess,  // the last commits may be lost with power; order is kept
};

// One use of a prepared statement. Parameters are bound in order; then rows are stepped through.
class Query {
 public:
  Query(sqlite3* database, sqlite3_stmt* statement);
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query();  // the statement can be used again

  Query& Bind(int64_t value);
  Query& Bind(absl::string_view text);
  Query& BindBlob(absl::string_view bytes);

  // True: a row is there. False: no more.
  absl::StatusOr<bool> Step();
  // Steps once, for statements without rows.
  absl::Status Run();

  // REQUIRES: a row.
  int64_t Int(int column) const;
  std::string Bytes(int column) const;

 private:
  absl::Status Error() const;

  sqlite3* database_;
  sqlite3_stmt* statement_;
  int next_ = 1;
};

// Not thread-safe: whoever owns it takes turns.
class Database {
 public:
  // Opens or creates `path` in WAL mode. The file is locked for this process: a second one gets
  // FailedPrecondition.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  // Statements without parameters or rows; several with semicolons between.
  absl::Status Execute(const std::string& sql);
  // Prepared once for each text, which must be a literal: statements are kept by its address.
  absl::StatusOr<std::unique_ptr<Query>> Prepare(const char* sql);
  int64_t last_row_id() const;

  // Begin ... Commit; what is neither committed nor rolled back ends with Rollback.
  absl::Status Begin(Durability durability);
  absl::Status Commit();
  void Rollback();

 private:
  explicit Database(sqlite3* database) : database_(database) {}
  absl::Status SetDurability(Durability durability);

  sqlite3* database_;
  std::vector<std::pair<const char*, sqlite3_stmt*>> statements_;
  Durability durability_ = Durability::kDisk;
};

// Rolls back at the end of its scope unless committed.
class Transaction {
 public:
  explicit Transaction(Database* database) : database_(database) {}
  ~Transaction() {
    if (open_) database_->Rollback();
  }
  absl::Status Begin(Durability durability);
  absl::Status Commit();

 private:
  Database* database_;
  bool open_ = false;
};

}  // namespace lockstep
