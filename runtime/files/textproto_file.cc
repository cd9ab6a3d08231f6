// Protobuf's text parser does the syntax (runtime/files/textproto_file.h).
#include "runtime/files/textproto_file.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lockstep {
namespace {

constexpr char kSuffix[] = ".textproto";
constexpr char kMessageLine[] = "# proto-message: ";

// Keeps the first error, as "line:column: what".
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (text_.empty()) text_ = absl::StrCat(line + 1, ":", column + 1, ": ", message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// What the file's first line says it is; "" when it says nothing.
std::string MessageOf(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string line(128, '\0');
  in.read(line.data(), static_cast<std::streamsize>(line.size()));
  line.resize(std::min(static_cast<size_t>(in.gcount()), line.find('\n')));
  return absl::StartsWith(line, kMessageLine) ? line.substr(sizeof(kMessageLine) - 1) : "";
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, const TextprotoKind& kind) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a folder, not a ", kind.what, " file"));
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat(path, ": cannot open ", kind.what, " file"));
  std::string text(kMaxTextprotoBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) {
    return absl::DataLossError(absl::StrCat(path, ": cannot read ", kind.what, " file"));
  }
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

}  // namespace

absl::Status ParseTextproto(absl::string_view text, absl::string_view file,
                            const TextprotoKind& kind, google::protobuf::Message& message) {
  if (text.size() > kMaxTextprotoBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": more than ", kMaxTextprotoBytes,
                                                   " bytes, too long for a ", kind.what, " file"));
  }
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (parser.ParseFromString(std::string(text), &message)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(file, ":", error.text()));
}

std::vector<std::string> KnownTextprotos(const std::string& search_dir, const TextprotoKind& kind) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(search_dir, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == kSuffix && MessageOf(entry->path()) == kind.message) {
      names.push_back(entry->path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<TextprotoFile> ReadTextproto(const std::string& name_or_path,
                                            const std::string& search_dir,
                                            const TextprotoKind& kind) {
  const bool is_path =
      absl::StrContains(name_or_path, '/') || absl::EndsWith(name_or_path, kSuffix);
  TextprotoFile file{name_or_path, ""};
  if (!is_path) {
    const std::vector<std::string> known = KnownTextprotos(search_dir, kind);
    if (!std::binary_search(known.begin(), known.end(), name_or_path)) {
      return absl::NotFoundError(absl::StrCat("unknown ", kind.what, " \"", name_or_path,
                                              "\"; known in ", search_dir, ": ",
                                              known.empty() ? "none" : absl::StrJoin(known, ", ")));
    }
    file.path = absl::StrCat(search_dir, "/", name_or_path, kSuffix);
  }
  absl::StatusOr<std::string> text = ReadSmallFile(file.path, kind);
  if (!text.ok()) return text.status();
  file.text = *std::move(text);
  return file;
}

}  // namespace lockstep
