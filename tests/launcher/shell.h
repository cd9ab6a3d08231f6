#pragma once
// Runs a command as a user would, for tests of the executables; one that hangs is killed.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

namespace lockstep {

struct Outcome {
  int exit_code;
  std::string output;  // both streams
};

inline Outcome Shell(const std::string& command) {
  std::string output;
  FILE* pipe = popen(("timeout 120 " + command + " 2>&1").c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  char buffer[4096];
  while (size_t n = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, n);
  return {WEXITSTATUS(pclose(pipe)), output};
}

inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline Outcome Lockstep(const std::string& arguments) {
  return Shell(std::string(LOCKSTEP_BIN_DIR) + "/lockstep " + arguments);
}

}  // namespace lockstep
