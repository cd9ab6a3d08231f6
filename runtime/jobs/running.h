#pragma once
// What the runner (runner.h) knows of a job at work.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/jobs/attempt.h"
#include "runtime/jobs/runner.h"

namespace lockstep {

using SteadyTime = std::chrono::steady_clock::time_point;

// Progress, told when it has moved by a part of the whole or some time has passed: a history stays
// short however many steps a job has.
class ProgressTeller {
 public:
  void Take(int done, int of, double seconds);
  // What is to be told now, or null. `all`: whatever has not been told.
  const v1::Progress* ToTell(bool all) const;
  void Told();

 private:
  v1::Progress now_;
  bool fresh_ = false;
  double told_fraction_ = -1;
  SteadyTime told_ = {};
};

struct Runner::Running {
  JobNumber number = 0;
  v1::Job job;  // as it was when it started
  std::unique_ptr<Attempt> attempt;
  std::string folder;  // of the attempt, while it runs
  std::vector<std::string> artifacts;
  int64_t output_limit = 0;

  std::string published;  // text that the store has, of this and earlier attempts
  std::string text;       // of this attempt
  ProgressTeller progress;
  SteadyTime started = std::chrono::steady_clock::now(), told = {}, next_try = {};
  bool ended = false, cancelled = false, too_loud = false, diverged = false;

  // The attempt's own verdict, or why the runner stopped it.
  std::optional<v1::Failure> Judge() const;
};

}  // namespace lockstep
