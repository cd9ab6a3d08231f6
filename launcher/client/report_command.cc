// Fetches or reads files and hands them to runtime/pages/page.h (launcher/client/report_command.h).
#include "launcher/client/report_command.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chip/check.h"
#include "launcher/client/connection.h"
#include "launcher/client/follow.h"
#include "launcher/console.h"
#include "launcher/exit_code.h"
#include "runtime/files/atomic_file.h"
#include "runtime/pages/page.h"

namespace lockstep {
namespace {

struct ReportFlags {
  ClientOptions client;
  std::vector<std::string> jobs, folders;
  std::string html;
};

constexpr std::array<const char*, 5> kShown = {"report.json", "links.csv", "timeline.json",
                                               "report.csv", "table.txt"};
constexpr int64_t kMostBytes = 256 << 20;  // of a file of a page

absl::Status ShowTable(Connection& connection, const ReportFlags& f) {
  const std::string& id = f.jobs.front();
  const absl::Status status =
      Fetch(connection, id, f.client.json ? "report.json" : "table.txt",
            [](const std::string& bytes) {
              std::fwrite(bytes.data(), 1, bytes.size(), stdout);
              return absl::OkStatus();
            });
  if (!absl::IsNotFound(status)) return status;
  // No report: the reason is the job's own.
  ASSIGN_OR_RETURN(const v1::Job job, GetJob(connection, id));
  RETURN_IF_ERROR(job.state() == v1::FAILED || job.state() == v1::CANCELLED ? Outcome(job)
                                                                            : status);
  return status;
}

absl::Status TooLarge(const std::string& name, int64_t bytes) {
  return absl::ResourceExhaustedError(
      absl::StrCat(name, " has ", bytes, " B; a page takes files of at most ", kMostBytes));
}

absl::StatusOr<PageJob> OfJob(Connection& connection, const std::string& id) {
  ASSIGN_OR_RETURN(const v1::Job job, GetJob(connection, id));
  const auto* kind = v1::JobSpec::descriptor()->FindFieldByNumber(job.spec().kind_case());
  PageJob page;
  page.title = absl::StrCat(job.id(), ", ", kind == nullptr ? "" : kind->name(), ", ",
                            v1::JobState_Name(job.state()));
  if (!job.spec().label().empty()) absl::StrAppend(&page.title, ": ", job.spec().label());
  for (const v1::Artifact& artifact : job.artifacts()) {
    if (std::find(kShown.begin(), kShown.end(), artifact.name()) == kShown.end()) continue;
    if (artifact.bytes() > kMostBytes) return TooLarge(artifact.name(), artifact.bytes());
    std::string& content = page.files[artifact.name()];
    RETURN_IF_ERROR(Fetch(connection, id, artifact.name(), [&](const std::string& bytes) {
      content += bytes;
      return absl::OkStatus();
    }));
  }
  if (!page.files.empty()) return page;
  RETURN_IF_ERROR(Outcome(job));
  return absl::NotFoundError(absl::StrCat("job ", id, " has left nothing to show yet"));
}

absl::StatusOr<PageJob> OfFolder(const std::string& folder) {
  PageJob page;
  page.title = std::filesystem::path(folder).lexically_normal().string();
  for (const char* name : kShown) {
    const std::string path = absl::StrCat(folder, "/", name);
    std::error_code error;
    const auto bytes = std::filesystem::file_size(path, error);
    if (error) continue;
    if (bytes > static_cast<uintmax_t>(kMostBytes)) {
      return TooLarge(path, static_cast<int64_t>(bytes));
    }
    std::ifstream in(path, std::ios::binary);
    page.files[name].assign(std::istreambuf_iterator<char>(in), {});
    if (!in) return absl::UnavailableError(absl::StrCat("cannot read ", path));
  }
  if (!page.files.empty()) return page;
  return absl::NotFoundError(absl::StrCat(folder, " has none of report.json, links.csv, "
                                          "timeline.json, report.csv, table.txt"));
}

absl::Status WritePage(const ReportFlags& f) {
  std::vector<PageJob> pages;
  if (!f.jobs.empty()) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection, Connection::Open(f.client));
    for (const std::string& id : f.jobs) {
      ASSIGN_OR_RETURN(PageJob page, OfJob(*connection, id));
      pages.push_back(std::move(page));
    }
  }
  for (const std::string& folder : f.folders) {
    ASSIGN_OR_RETURN(PageJob page, OfFolder(folder));
    pages.push_back(std::move(page));
  }
  return WriteAtomically(f.html, ReportPage(pages));
}

absl::Status RunReport(const ReportFlags& f) {
  const auto wrong = [](const char* why) {
    return AsUsage(absl::InvalidArgumentError(why));
  };
  if (f.jobs.empty() && f.folders.empty()) return wrong("report: name a job, or --from FOLDER");
  if (!f.html.empty()) {
    if (f.client.json) return wrong("--json has no effect with --html");
    return WritePage(f);
  }
  if (!f.folders.empty()) return wrong("--from has no effect without --html");
  if (f.jobs.size() > 1) return wrong("several jobs need --html");
  ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection, Connection::Open(f.client));
  RETURN_IF_ERROR(ShowTable(*connection, f));
  return FlushConsole();
}

}  // namespace

void AddReportCommand(CLI::App& app, absl::Status* result) {
  const auto flags = std::make_shared<ReportFlags>();
  CLI::App* command = app.add_subcommand("report", "Show a job's report, or write it as a page");
  AddClientFlags(*command, &flags->client);
  command->add_option("job", flags->jobs, "Id of the job: j17; with --html also several");
  command->add_option("--html", flags->html,
                      "File: one HTML page with figures, links, timeline, comparison");
  command->add_option("--from", flags->folders,
                      "With --html: folder with report.json, links.csv, timeline.json, report.csv or "
                      "table.txt, as options of `run`, `collective` and `compare` write them");
  command->callback([flags, result] { *result = RunReport(*flags); });
}

}  // namespace lockstep
