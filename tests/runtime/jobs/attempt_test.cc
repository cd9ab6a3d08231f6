// What a guard does with a command that misbehaves (runtime/jobs/attempt.h, guard.h, failure.h):
// commands here are scripts, since real jobs do not misbehave on demand.
#include "runtime/jobs/attempt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "runtime/jobs/failure.h"
#include "runtime/jobs/process_table.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class AttemptTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "attempt_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    options_.guard_program = LOCKSTEP_BIN_DIR "/lockstep-job";
    options_.guard = {20, int64_t{1} << 30, 1 << 20, 0, "", 3, {}};
    options_.folder = folder_ + "/work";
    options_.scratch = folder_ + "/scratch";
    options_.marker = "attempt_test/" + std::to_string(getpid()) + "/";
    options_.stdout_is_text = true;
  }
  void TearDown() override {
    attempt_.reset();
    EXPECT_TRUE(MarkedProcesses(options_.marker).empty()) << "orphans";
    fs::remove_all(folder_);
  }
  void Start(std::vector<std::string> command) {
    options_.guard.command = std::move(command);
    auto attempt = Attempt::Start(options_);
    ASSERT_TRUE(attempt.ok()) << attempt.status();
    attempt_ = *std::move(attempt);
  }
  void Wait() {
    while (attempt_->Read()) {
      text_ += attempt_->TakeText();
      std::vector<pollfd> fds;
      for (const int fd : attempt_->descriptors()) fds.push_back({fd, POLLIN, 0});
      poll(fds.data(), fds.size(), 100);
    }
    text_ += attempt_->TakeText();
  }
  std::optional<v1::Failure> Run(const std::string& script) {
    Start({"sh", "-c", script});
    Wait();
    return attempt_->Judge();
  }

  std::string folder_, text_;
  AttemptOptions options_;
  std::unique_ptr<Attempt> attempt_;
};

TEST_F(AttemptTest, SuccessGivesTextWithoutTheLastLineFeedAndProgress) {
  EXPECT_EQ(Run("printf 'a\\nb\\n'; echo lockstep-progress: 2/5 >&2; echo warning >&2"),
            std::nullopt);
  EXPECT_EQ(text_, "a\nb");
  EXPECT_EQ(attempt_->TakeProgress(), std::pair(2, 5));
  EXPECT_EQ(attempt_->standard_error(), "warning\n");
}

TEST_F(AttemptTest, ArgumentsReachTheCommandAsTheyAre) {
  Start({"printf", "%s|", "--seconds=5", "-x", "a b", "$(id)", "--"});
  Wait();
  EXPECT_EQ(text_, "--seconds=5|-x|a b|$(id)|--|");
}

TEST_F(AttemptTest, TextIsWholeCharacters) {
  EXPECT_EQ(Run("printf '\\303'; sleep 0.2; printf '\\251\\377x'"), std::nullopt);
  EXPECT_EQ(text_, "\xC3\xA9\xEF\xBF\xBDx");
}

TEST_F(AttemptTest, AnExitCodeComesWithTheLastWords) {
  const auto failure = Run("echo first >&2; echo 'lockstep: no such thing' >&2; exit 3");
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->reason(), v1::Failure::EXIT);
  EXPECT_EQ(failure->exit_code(), 3);
  EXPECT_EQ(failure->message(), "no such thing");
  EXPECT_THAT(failure->stderr_tail(), HasSubstr("first"));
  EXPECT_FALSE(failure->transient());
}

TEST_F(AttemptTest, AFaultOfTheProgramIsOne) {
  const auto failure = Run("echo 'lockstep: fault: bank conflict: chip0 mem0 @5: x' >&2; exit 1");
  EXPECT_EQ(failure->reason(), v1::Failure::FAULT);
  EXPECT_EQ(failure->message(), "fault: bank conflict: chip0 mem0 @5: x");
}

TEST_F(AttemptTest, SignalsFromOutsideAreTransientOwnOnesAreNot) {
  const auto killed = JudgeAttempt({Verdict::Kind::kSignalled, SIGKILL}, "");
  EXPECT_TRUE(killed->transient());
  const auto crashed =
      JudgeAttempt({Verdict::Kind::kExited, 1}, "lockstep: rank 3 was ended by signal 11 (x)\n");
  EXPECT_EQ(crashed->reason(), v1::Failure::RANK_DIED);
  EXPECT_EQ(crashed->rank(), 3);
  EXPECT_EQ(crashed->signal(), SIGSEGV);
  EXPECT_FALSE(crashed->transient());
}

TEST_F(AttemptTest, AMissingCommandIsNamed) {
  Start({"/nosuch/command"});
  Wait();
  EXPECT_EQ(attempt_->Judge()->reason(), v1::Failure::CANNOT_START);
  EXPECT_THAT(attempt_->Judge()->message(), HasSubstr("No such file"));
}

TEST_F(AttemptTest, ProcessesThatHideAreKilledWhenTheCommandEnds) {
  EXPECT_EQ(Run("setsid sleep 1000 & (setsid sleep 1000 &) ; exit 0"), std::nullopt);
  EXPECT_TRUE(MarkedProcesses(options_.marker).empty());
}

TEST_F(AttemptTest, AHangEndsAtTheTimeLimit) {
  options_.guard.seconds = 1;
  const auto failure = Run("trap '' TERM; setsid sleep 1000 & sleep 1000");
  EXPECT_EQ(failure->reason(), v1::Failure::TIME_LIMIT);
  EXPECT_TRUE(MarkedProcesses(options_.marker).empty());
}

TEST_F(AttemptTest, MemoryOfAllProcessesCounts) {
  options_.guard.memory_bytes = 150 << 20;
  const auto failure = Run("for i in 1 2 3; do /usr/bin/python3 -c "
                           "'import time; x = bytearray(b\"x\" * (70 << 20)); time.sleep(60)' & done;"
                           " wait");
  EXPECT_EQ(failure->reason(), v1::Failure::MEMORY_LIMIT) << failure->DebugString();
}

TEST_F(AttemptTest, WhatAllProcessesTookIsTold) {
  const char* const busy = "/usr/bin/python3 -c 'import time; x = b\"x\" * (40 << 20); "
                           "end = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
                           "time.sleep(0.5)'";
  EXPECT_EQ(Run(absl::StrCat(busy, " & ", busy, " & wait")), std::nullopt);
  const v1::HostUse use = attempt_->Used().value();
  EXPECT_GE(use.cpu_seconds(), 0.6);
  EXPECT_GE(use.wall_seconds(), 0.8);
  EXPECT_GE(use.memory_bytes(), 2 * (40 << 20)) << "both at once";
  EXPECT_GE(use.process_bytes(), 40 << 20);
  EXPECT_LT(use.process_bytes(), 80 << 20) << "one of them";
}

TEST_F(AttemptTest, FilesBeyondTheLimitEndIt) {
  const auto failure = Run("for i in 1 2 3 4; do head -c 400000 /dev/zero > f$i; sleep 0.3; done");
  EXPECT_EQ(failure->reason(), v1::Failure::OUTPUT_LIMIT) << failure->DebugString();
}

TEST_F(AttemptTest, StopEndsEverything) {
  Start({"sh", "-c", "trap '' TERM; echo on; setsid sleep 1000 & sleep 1000"});
  while (text_.empty() && attempt_->Read()) text_ += attempt_->TakeText();
  attempt_->Stop();
  Wait();
  EXPECT_TRUE(attempt_->Judge()->transient());
}

TEST_F(AttemptTest, VerdictsRoundTripAndNothingElseIsOne) {
  for (int kind = 0; kind <= 6; ++kind) {
    const Verdict verdict{static_cast<Verdict::Kind>(kind), 17, {2, 3, 5, 7}};
    EXPECT_EQ(ParseVerdict(FormatVerdict(verdict)), verdict);
  }
  for (const char* bad : {"", "exited", "exited 0", "exited x\n", "exited 0\n", "gone 0 1 2 3 4\n",
                          "exited 0 1 2 3\n", "exited 0 1 2 3 4", "exited 0 1 2 3 4 5\n"}) {
    EXPECT_EQ(ParseVerdict(bad), std::nullopt) << bad;
  }
}

TEST(Utf8Test, OnlyWellFormedTextStays) {
  EXPECT_EQ(ToUtf8("a\xE2\x82\xAC"), "a\xE2\x82\xAC");
  EXPECT_EQ(ToUtf8("\xC0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD") << "too long";
  EXPECT_EQ(ToUtf8("\xED\xA0\x80").size(), 9u) << "a surrogate";
  EXPECT_EQ(IncompleteUtf8("a\xE2\x82"), 2u);
  EXPECT_EQ(IncompleteUtf8("a\xE2\x82\xAC"), 0u);
  EXPECT_EQ(IncompleteUtf8("\xF0\x9F\x98"), 3u);
}

}  // namespace
}  // namespace lockstep
