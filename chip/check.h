#pragma once
// CHECK and the two Status macros. Three kinds of fault have three mechanisms (docs/design.md):
// the world's faults are absl::Status, the emulated program's are chip/fault.h, ours are CHECK.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"

namespace lockstep {

// Prints where and why, then aborts. Never compiled out.
[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition,
                                     const std::string& why) {
  std::fprintf(stderr, "%s:%d: CHECK(%s) failed: %s\n", file, line, condition, why.c_str());
  std::abort();
}

}  // namespace lockstep

// CHECK(x > 0, "x is %d", x): absl::StrFormat's syntax. A failure is a bug of Lockstep itself.
#define LOCKSTEP_CHECK(cond, ...)                                                           \
  do {                                                                                      \
    if (!(cond)) [[unlikely]]                                                               \
      ::lockstep::CheckFailed(__FILE__, __LINE__, #cond, ::absl::StrFormat(__VA_ARGS__));   \
  } while (false)

// FAIL("no place %d", p): a CHECK that always fails, where control can never come.
#define LOCKSTEP_FAIL(...) \
  ::lockstep::CheckFailed(__FILE__, __LINE__, "never here", ::absl::StrFormat(__VA_ARGS__))

#define RETURN_IF_ERROR(expr)                          \
  do {                                                 \
    if (::absl::Status s_ = (expr); !s_.ok()) return s_; \
  } while (false)

#define LOCKSTEP_CONCAT_(a, b) a##b
#define LOCKSTEP_CONCAT(a, b) LOCKSTEP_CONCAT_(a, b)
#define LOCKSTEP_ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                               \
  if (!tmp.ok()) return tmp.status();              \
  lhs = *std::move(tmp)
// ASSIGN_OR_RETURN(auto x, MakeX()): x, or return of the error.
#define ASSIGN_OR_RETURN(lhs, expr) \
  LOCKSTEP_ASSIGN_OR_RETURN_(LOCKSTEP_CONCAT(status_or_, __LINE__), lhs, expr)
