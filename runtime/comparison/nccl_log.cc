// Reading measured times (runtime/comparison/nccl_log.h).
#include "runtime/comparison/nccl_log.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "chip/check.h"

namespace lockstep {
namespace {

constexpr size_t kMostRows = 4096, kMostText = size_t{1} << 20;

struct Columns {
  size_t bytes = 0, time = 0;
};

absl::StatusOr<Columns> ReadHeader(const std::vector<std::string>& names) {
  const auto find = [&](const char* name) {
    return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  };
  const Columns columns{find("bytes"), find("time_us")};
  if (columns.bytes == names.size() || columns.time == names.size()) {
    return absl::InvalidArgumentError("need a header line with the columns bytes and time_us");
  }
  return columns;
}

absl::StatusOr<MeasuredTime> ReadRow(const std::vector<std::string>& fields, const Columns& columns,
                                     int64_t most) {
  if (fields.size() <= std::max(columns.bytes, columns.time)) {
    return absl::InvalidArgumentError(absl::StrCat("only ", fields.size(), " fields"));
  }
  MeasuredTime row;
  if (!absl::SimpleAtoi(fields[columns.bytes], &row.bytes) || row.bytes < 1 || row.bytes > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("bytes \"", fields[columns.bytes], "\": need 1 to ", most));
  }
  if (!absl::SimpleAtod(fields[columns.time], &row.time_us) || !std::isfinite(row.time_us) ||
      row.time_us <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("time_us \"", fields[columns.time], "\": need a positive number"));
  }
  return row;
}

}  // namespace

absl::StatusOr<std::vector<MeasuredTime>> ParseNcclLog(absl::string_view text,
                                                       absl::string_view file, int64_t most) {
  std::vector<MeasuredTime> rows;
  Columns columns;
  bool header = false;
  int number = 0;
  const auto at = [&](const absl::Status& status) {
    return absl::InvalidArgumentError(absl::StrCat(file, ":", number, ": ", status.message()));
  };
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> fields = absl::StrSplit(line, ',');
    if (!header) {
      const absl::StatusOr<Columns> found = ReadHeader(fields);
      if (!found.ok()) return at(found.status());
      columns = *found, header = true;
      continue;
    }
    const absl::StatusOr<MeasuredTime> row = ReadRow(fields, columns, most);
    if (!row.ok()) return at(row.status());
    if (rows.size() == kMostRows) {
      return at(absl::InvalidArgumentError(absl::StrCat("more than ", kMostRows, " rows")));
    }
    rows.push_back(*row);
  }
  if (rows.empty()) return absl::InvalidArgumentError(absl::StrCat(file, ": no rows"));
  return rows;
}

absl::StatusOr<std::vector<MeasuredTime>> LoadNcclLog(const std::string& path, int64_t most) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat(path, ": cannot open measured times"));
  std::string text(kMostText + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return absl::DataLossError(absl::StrCat(path, ": cannot read"));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kMostText) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": more than ", kMostText, " B"));
  }
  return ParseNcclLog(text, path, most);
}

}  // namespace lockstep
