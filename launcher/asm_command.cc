// Reads, translates and writes programs; all knowledge of the two forms is in chip/.
#include "launcher/asm_command.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "chip/binary.h"
#include "chip/check.h"
#include "chip/isa_doc.h"

namespace lockstep {
namespace {

struct AsmOptions {
  std::string file;
  std::string out;
  bool assumptions = false;
};

absl::Status FileError(absl::string_view tried, const std::string& path) {
  return absl::UnavailableError(absl::StrCat("cannot ", tried, " ", path, ": ",
                                             errno != 0 ? std::strerror(errno) : "I/O error"));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return FileError("open", path);
  std::ostringstream bytes;
  in.peek();
  if (in.bad()) return FileError("read", path);
  if (!in.eof()) bytes << in.rdbuf();
  if (in.bad() || bytes.bad()) return FileError("read", path);
  return bytes.str();
}

absl::Status WriteFile(const std::string& path, const std::string& bytes) {
  errno = 0;
  std::ofstream out(path, std::ios::binary);
  if (!out) return FileError("write", path);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  return out ? absl::OkStatus() : FileError("write", path);
}

absl::Status RunAsm(const AsmOptions& options) {
  ASSIGN_OR_RETURN(const ProgramFile file, ReadProgramFile(options.file));
  const std::string binary = EncodeProgram(file.program);
  if (!options.out.empty()) {
    // The binary form has no place for data: better no file than one that lost some.
    if (!file.words.empty() || !file.dumps.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          options.file, ": .word and .dump have no binary form (", file.words.size(), " and ",
          file.dumps.size(), " of them); run the text with `lockstep exec`"));
    }
    RETURN_IF_ERROR(WriteFile(options.out, binary));
  }
  int queues = 0;
  size_t instructions = 0;
  for (const auto& queue : file.program.queues) {
    queues += queue.empty() ? 0 : 1;
    instructions += queue.size();
  }
  std::cout << instructions << " instructions in " << queues << " queues, " << binary.size()
            << " B" << (options.out.empty() ? "" : " written to ") << options.out << "\n";
  return absl::OkStatus();
}

absl::Status RunDisasm(const AsmOptions& options) {
  ASSIGN_OR_RETURN(const ProgramFile file, ReadProgramFile(options.file));
  std::cout << Disassemble(file);
  return absl::OkStatus();
}

absl::Status RunIsa(const AsmOptions& options) {
  const ChipTiming timing = ChipTiming::Default();
  std::cout << (options.assumptions ? AssumptionsDocument(timing) : IsaDocument(timing));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ProgramFile> ReadProgramFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  ProgramFile file;
  absl::Status status;
  if (absl::StartsWith(bytes, kProgramMagic)) {
    absl::StatusOr<Program> program = DecodeProgram(bytes);
    status = program.status();
    if (program.ok()) file.program = *std::move(program);
  } else {
    absl::StatusOr<ProgramFile> parsed = AssembleFile(bytes);
    status = parsed.status();
    if (parsed.ok()) file = *std::move(parsed);
  }
  if (!status.ok()) {
    return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
  }
  return file;
}

void AddAsmCommands(CLI::App& app, absl::Status* result) {
  const auto options = std::make_shared<AsmOptions>();
  CLI::App* assemble = app.add_subcommand("asm", "Check a program; write its binary form");
  assemble->add_option("file", options->file, "Program text")->required();
  assemble->add_option("-o,--output", options->out, "File for the binary form");
  assemble->callback([options, result] { *result = RunAsm(*options); });
  CLI::App* disassemble = app.add_subcommand("disasm", "Print the text of a program");
  disassemble->add_option("file", options->file, "Program, binary or text")->required();
  disassemble->callback([options, result] { *result = RunDisasm(*options); });
  CLI::App* isa = app.add_subcommand("isa", "Print the instruction set (docs/isa.md)");
  isa->add_flag("--assumptions", options->assumptions,
                "Print the latencies and their origins instead (docs/assumptions.md)");
  isa->callback([options, result] { *result = RunIsa(*options); });
}

}  // namespace lockstep
