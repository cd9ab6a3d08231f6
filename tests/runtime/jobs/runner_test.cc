// Jobs from the store to their end through real processes (runtime/jobs/runner.h): models/story on
// one chip in one process unless a test is about ranks.
#include "runtime/jobs/runner.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "runtime/jobs/process_table.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Silent : public RunnerListener {
 public:
  void OnStart(const v1::Job&) override {}
  void OnRetry(const v1::Job&, const v1::Failure&) override { ++retries; }
  void OnEnd(const v1::Job&) override {}
  std::atomic<int> retries = 0;
};

class RunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "runner_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    policy_.roots = {{LOCKSTEP_SOURCE_DIR "/models"}, LOCKSTEP_SOURCE_DIR "/topologies"};
    policy_.limits = {2, int64_t{4} << 30, 64, 60, int64_t{64} << 20};
    store_ = JobStore::Open(folder_ + "/jobs.sqlite").value();
  }
  void TearDown() override {
    if (runner_ != nullptr) runner_->Stop();
    EXPECT_TRUE(Processes().empty()) << "orphans";
    fs::remove_all(folder_);
  }
  void StartRunner() {
    RunnerOptions options{folder_, folder_ + "/scratch", LOCKSTEP_BIN_DIR "/lockstep",
                          LOCKSTEP_BIN_DIR "/lockstep-job"};
    auto runner = Runner::Start(options, policy_, store_.get(), &listener_);
    ASSERT_TRUE(runner.ok()) << runner.status();
    runner_ = *std::move(runner);
  }
  std::vector<pid_t> Processes() { return MarkedProcesses(store_->id() + "/"); }

  static v1::JobSpec Story(int tokens) {
    v1::JobSpec spec;
    v1::GenerateJob& job = *spec.mutable_generate();
    job.set_model("story");
    job.mutable_machine()->set_topology("groqcard");
    job.mutable_placement()->set_threads(1);
    job.set_prompt("Nora was");
    job.set_tokens(tokens);
    job.set_ignore_eos(true);
    return spec;
  }
  // Eight ranks that work for long.
  static v1::JobSpec Ranks() {
    v1::JobSpec spec = Story(100);
    spec.mutable_generate()->mutable_machine()->set_topology("groqnode");
    spec.mutable_generate()->clear_placement();
    return spec;
  }
  // Two ranks, so all of two cores, for a short time.
  static v1::JobSpec Pair() {
    v1::JobSpec spec = Story(10);
    spec.mutable_generate()->mutable_machine()->set_topology("groqnode");
    spec.mutable_generate()->mutable_machine()->set_chips(2);
    spec.mutable_generate()->clear_placement();
    return spec;
  }
  JobNumber Submit(const v1::JobSpec& spec) {
    const auto prepared = PrepareJob(spec, policy_.roots, policy_.limits);
    EXPECT_TRUE(prepared.ok()) << prepared.status();
    const auto job = store_->Submit({{"", spec, prepared->needs}})[0];
    const JobNumber number = *ParseJobId(job->job.id());
    if (runner_ != nullptr) runner_->Added(number, prepared->needs);
    return number;
  }
  v1::Job Get(JobNumber job) { return store_->Get(job, true).value(); }
  template <typename Condition>
  void Until(Condition condition) {
    for (int i = 0; i < 60'000 && !condition(); ++i) usleep(1000);
    ASSERT_TRUE(condition());
  }
  v1::Job End(JobNumber job) {
    Until([&] { return HasEnded(Get(job).state()); });
    return Get(job);
  }
  static int64_t Nanoseconds(const google::protobuf::Timestamp& time) {
    return google::protobuf::util::TimeUtil::TimestampToNanoseconds(time);
  }
  // A process of a job whose name begins so.
  pid_t Find(const std::string& name) {
    for (const pid_t process : Processes()) {
      std::ifstream file("/proc/" + std::to_string(process) + "/comm");
      std::string comm;
      if (std::getline(file, comm) && comm.rfind(name, 0) == 0) return process;
    }
    return 0;
  }

  std::string folder_;
  RunnerPolicy policy_;
  Silent listener_;
  std::unique_ptr<JobStore> store_;
  std::unique_ptr<Runner> runner_;
};

TEST_F(RunnerTest, AJobEndsWithItsTextAndArtifacts) {
  StartRunner();
  v1::JobSpec spec = Story(6);
  spec.mutable_generate()->set_keep_logits(true);
  const JobNumber number = Submit(spec);
  const v1::Job job = End(number);
  ASSERT_EQ(job.state(), v1::SUCCEEDED) << job.failure().DebugString();
  EXPECT_THAT(job.text(), testing::StartsWith("Nora was"));
  EXPECT_EQ(job.progress().done(), job.progress().of());
  std::vector<std::string> names;
  for (const v1::Artifact& artifact : job.artifacts()) {
    names.push_back(artifact.name());
    const std::string path = folder_ + "/jobs/j1/" + store_->FindArtifact(number, artifact.name())->path;
    EXPECT_EQ(static_cast<int64_t>(fs::file_size(path)), artifact.bytes());
  }
  EXPECT_THAT(names, testing::ElementsAre("report.json", "table.txt", "links.csv", "logits.f32"));
  EXPECT_TRUE(fs::is_empty(folder_ + "/scratch"));
}

TEST_F(RunnerTest, ValidationIsAJobToo) {
  StartRunner();
  v1::JobSpec spec;
  spec.mutable_validate()->add_only("V1");
  const v1::Job job = End(Submit(spec));
  EXPECT_EQ(job.state(), v1::SUCCEEDED) << job.failure().DebugString();
  EXPECT_EQ(job.artifacts_size(), 2);
}

TEST_F(RunnerTest, AKilledRankIsNamedAndTheJobIsTriedAgain) {
  StartRunner();
  const JobNumber number = Submit(Ranks());
  Until([&] { return !Get(number).text().empty(); });
  kill(Find("lockstep-chip"), SIGKILL);
  const v1::Job job = End(number);
  EXPECT_EQ(job.state(), v1::SUCCEEDED) << job.failure().DebugString();
  EXPECT_EQ(job.attempt(), 2);
  bool ended = false;
  const auto events = store_->Events(number, 0, 100'000, &ended);
  std::string text;
  v1::Failure failure;
  for (const v1::JobEvent& event : *events) {
    text += event.text();
    if (event.state().state() == v1::QUEUED) failure = event.state().failure();
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(failure.reason(), v1::Failure::RANK_DIED);
  EXPECT_EQ(failure.signal(), SIGKILL);
  EXPECT_TRUE(failure.has_rank());
  // Text of the second attempt goes on where the first one ended.
  EXPECT_EQ(text, job.text());
  EXPECT_EQ(text, End(Submit(Story(100))).text());
}

TEST_F(RunnerTest, AKilledMpirunOrGuardLeavesNothing) {
  policy_.max_failed_attempts = 1;
  StartRunner();
  for (const auto& [name, reason] : {std::pair("mpirun", v1::Failure::MPIRUN_DIED),
                                     std::pair("lockstep-job", v1::Failure::SUPERVISOR_DIED)}) {
    const JobNumber number = Submit(Ranks());
    Until([&] { return !Get(number).text().empty(); });
    kill(Find(name), SIGKILL);
    const v1::Job job = End(number);
    EXPECT_EQ(job.state(), v1::FAILED);
    EXPECT_EQ(job.failure().reason(), reason) << job.failure().DebugString();
    EXPECT_EQ(job.failure().signal(), SIGKILL);
    EXPECT_TRUE(Processes().empty());
  }
}

TEST_F(RunnerTest, CancelEndsEveryProcessAndTheJob) {
  StartRunner();
  const JobNumber running = Submit(Ranks()), waiting = Submit(Ranks());
  Until([&] { return !Get(running).text().empty(); });
  for (const JobNumber job : {waiting, running}) {
    ASSERT_TRUE(store_->RequestCancel(job).ok());
    runner_->CancelRequested(job);
  }
  EXPECT_EQ(End(running).state(), v1::CANCELLED);
  EXPECT_EQ(End(waiting).state(), v1::CANCELLED);
  EXPECT_EQ(Get(waiting).attempt(), 0);
  EXPECT_TRUE(Processes().empty());
}

TEST_F(RunnerTest, ATimeLimitEndsAJob) {
  StartRunner();
  v1::JobSpec slow = Ranks();
  slow.mutable_generate()->set_tokens(240);
  slow.set_max_seconds(1);
  const v1::Job job = End(Submit(slow));
  EXPECT_EQ(job.failure().reason(), v1::Failure::TIME_LIMIT) << job.DebugString();
  EXPECT_EQ(job.attempt(), 1);
  EXPECT_TRUE(Processes().empty());
}

TEST_F(RunnerTest, OutputBeyondItsLimitEndsAJob) {
  policy_.limits.output_bytes = 5000;
  StartRunner();
  v1::JobSpec spec = Story(100);
  spec.mutable_generate()->set_keep_logits(true);
  const v1::Job job = End(Submit(spec));
  EXPECT_EQ(job.state(), v1::FAILED);
  EXPECT_EQ(job.failure().reason(), v1::Failure::OUTPUT_LIMIT) << job.failure().DebugString();
}

TEST_F(RunnerTest, ARefusalOfTheProgramIsTheReason) {
  const JobNumber number = Submit(Story(5));
  policy_.roots.models = {folder_};  // the model has gone since
  StartRunner();
  const v1::Job job = End(number);
  EXPECT_EQ(job.failure().reason(), v1::Failure::CANNOT_START);
  EXPECT_THAT(job.failure().message(), HasSubstr("story"));
}

TEST_F(RunnerTest, SmallJobsRunSideBySideAndLargeOnesWait) {
  policy_.limits.cores = 2;
  policy_.hold = true;  // until all stand in line, so that the host's load does not show
  StartRunner();
  const JobNumber a = Submit(Story(240)), b = Submit(Story(240)), large = Submit(Pair());
  policy_.hold = false;
  runner_->SetPolicy(policy_);
  Until([&] { return Get(large).state() == v1::RUNNING; });
  EXPECT_EQ(Get(a).state(), v1::SUCCEEDED);
  EXPECT_EQ(Get(b).state(), v1::SUCCEEDED);
  const auto begin = [&](JobNumber job) { return Nanoseconds(Get(job).started()); };
  const auto end = [&](JobNumber job) { return Nanoseconds(Get(job).ended()); };
  EXPECT_LT(begin(b), end(a)) << "the second did not wait for the first";
  EXPECT_GE(begin(large), std::max(end(a), end(b)));
}

TEST_F(RunnerTest, SmallJobsPassALargeOneThatWaitsButOnlySoMany) {
  policy_.limits.cores = 2;
  policy_.max_overtakes = 1;
  policy_.hold = true;
  StartRunner();
  const JobNumber long_one = Submit(Story(100)), large = Submit(Pair());
  const JobNumber first = Submit(Story(10)), second = Submit(Story(10));
  policy_.hold = false;
  runner_->SetPolicy(policy_);
  for (const JobNumber job : {long_one, large, first, second}) {
    EXPECT_EQ(End(job).state(), v1::SUCCEEDED);
  }
  const auto begin = [&](JobNumber job) { return Nanoseconds(Get(job).started()); };
  const auto end = [&](JobNumber job) { return Nanoseconds(Get(job).ended()); };
  EXPECT_LT(begin(first), begin(large)) << "a core was free";
  EXPECT_GE(begin(large), std::max(end(long_one), end(first)));
  EXPECT_GE(begin(second), end(large)) << "the second did not pass it, too";
}

TEST_F(RunnerTest, WhatAKilledControllerLeftIsRunAgain) {
  const JobNumber number = Submit(Story(20));
  ASSERT_TRUE(store_->Start(number).ok());  // and then, one would think, it was killed
  ASSERT_TRUE(store_->AddOutput(number, "Nora", nullptr).ok());
  fs::create_directories(folder_ + "/jobs/j1/1.running");
  StartRunner();
  const v1::Job job = End(number);
  EXPECT_EQ(job.state(), v1::SUCCEEDED) << job.failure().DebugString();
  EXPECT_EQ(job.attempt(), 2);
  EXPECT_EQ(job.interruptions(), 1);
  EXPECT_THAT(job.text(), testing::StartsWith("Nora was"));
  EXPECT_FALSE(fs::exists(folder_ + "/jobs/j1/1.running"));
}

TEST_F(RunnerTest, AnAttemptThatTellsAnotherStoryFails) {
  const JobNumber number = Submit(Story(20));
  ASSERT_TRUE(store_->Start(number).ok());
  ASSERT_TRUE(store_->AddOutput(number, "Dora was", nullptr).ok());
  StartRunner();
  const v1::Job job = End(number);
  EXPECT_EQ(job.failure().reason(), v1::Failure::DIVERGED) << job.DebugString();
}

TEST_F(RunnerTest, ShutdownKeepsJobsForTheNextTime) {
  StartRunner();
  const JobNumber number = Submit(Ranks());
  Until([&] { return !Get(number).text().empty(); });
  runner_->Stop();
  EXPECT_EQ(Get(number).state(), v1::QUEUED);
  EXPECT_EQ(Get(number).interruptions(), 0);
  EXPECT_TRUE(Processes().empty());
}

TEST_F(RunnerTest, HoldStartsNothingUntilReleased) {
  policy_.hold = true;
  StartRunner();
  const JobNumber number = Submit(Story(2));
  usleep(100'000);
  EXPECT_EQ(Get(number).state(), v1::QUEUED);
  policy_.hold = false;
  runner_->SetPolicy(policy_);
  EXPECT_EQ(End(number).state(), v1::SUCCEEDED);
}

}  // namespace
}  // namespace lockstep
