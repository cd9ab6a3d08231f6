#pragma once
// `lockstep asm FILE [-o OUT]`, `lockstep disasm FILE`, `lockstep isa [--assumptions]`: programs
// between text (chip/text.h) and binary form (chip/binary.h), and the generated pages of docs/.

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "chip/text.h"

namespace lockstep {

// Registers the three subcommands; a chosen one leaves its outcome in `*result`, which must
// outlive the parse.
void AddAsmCommands(CLI::App& app, absl::Status* result);

// The program in `path`: binary form if it starts with its magic, else text. An error names the
// file, and the line and column or the byte.
absl::StatusOr<ProgramFile> ReadProgramFile(const std::string& path);

}  // namespace lockstep
