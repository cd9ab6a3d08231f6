// Contracts of runtime/jobs/store.h: transitions, idempotence, history, and what a second opening
// finds, also after SIGKILL in the middle of work.
#include "runtime/jobs/store.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <set>

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

int64_t Nanoseconds(const google::protobuf::Timestamp& time) {
  return google::protobuf::util::TimeUtil::TimestampToNanoseconds(time);
}

v1::JobSpec Spec(int tokens) {
  v1::JobSpec spec;
  spec.mutable_generate()->set_tokens(tokens);
  return spec;
}

class JobStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "store_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    Reopen();
  }
  void TearDown() override {
    store_.reset();
    fs::remove_all(folder_);
  }
  void Reopen() {
    store_.reset();
    auto store = JobStore::Open(folder_ + "/jobs.sqlite");
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  JobNumber Submit(const std::string& request = "", int tokens = 1) {
    const auto accepted = store_->Submit({{request, Spec(tokens), {}}})[0];
    EXPECT_TRUE(accepted.ok()) << accepted.status();
    return *ParseJobId(accepted->job.id());
  }
  v1::Job Get(JobNumber job) { return store_->Get(job, true).value(); }
  std::vector<v1::JobState> States(JobNumber job) {
    bool ended;
    std::vector<v1::JobState> states;
    const auto events = store_->Events(job, 0, 1000, &ended);
    for (const v1::JobEvent& event : *events) {
      if (event.has_state()) states.push_back(event.state().state());
    }
    return states;
  }

  std::string folder_;
  std::unique_ptr<JobStore> store_;
};

TEST_F(JobStoreTest, AJobWalksThroughItsStatesAndItsHistorySaysSo) {
  const JobNumber job = Submit();
  ASSERT_TRUE(store_->Start(job).ok());
  ASSERT_TRUE(store_->AddOutput(job, "Once ", nullptr).ok());
  ASSERT_TRUE(store_->AddOutput(job, "upon", nullptr).ok());
  StoredArtifact report;
  report.artifact.set_name("report.json");
  report.path = "1/report.json";
  v1::HostUse used;
  used.set_cpu_seconds(1.5);
  ASSERT_TRUE(store_->Finish(job, v1::SUCCEEDED, nullptr, {report}, used).ok());
  EXPECT_EQ(Get(job).used().cpu_seconds(), 1.5);
  EXPECT_THAT(States(job), ElementsAre(v1::QUEUED, v1::RUNNING, v1::SUCCEEDED));
  EXPECT_EQ(Get(job).text(), "Once upon");
  EXPECT_EQ(Get(job).attempt(), 1);
  EXPECT_EQ(store_->FindArtifact(job, "report.json")->path, "1/report.json");
  EXPECT_EQ(store_->FindArtifact(job, "../x").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(JobStoreTest, TimesAreFinerThanSeconds) {
  const JobNumber first = Submit(), second = Submit();
  EXPECT_LT(Nanoseconds(Get(first).created()), Nanoseconds(Get(second).created()));
  ASSERT_TRUE(store_->Start(first).ok());
  ASSERT_TRUE(store_->Finish(first, v1::SUCCEEDED, nullptr, {}).ok());
  EXPECT_LT(Nanoseconds(Get(second).created()), Nanoseconds(Get(first).started()));
  EXPECT_LT(Nanoseconds(Get(first).started()), Nanoseconds(Get(first).ended()));
}

TEST_F(JobStoreTest, TransitionsThatThePictureDoesNotHaveAreRefused) {
  const JobNumber job = Submit();
  EXPECT_FALSE(store_->Finish(job, v1::SUCCEEDED, nullptr, {}).ok());
  EXPECT_FALSE(store_->Requeue(job, {}, Setback::kFailed).ok());
  EXPECT_FALSE(store_->AddOutput(job, "x", nullptr).ok());
  EXPECT_FALSE(store_->Delete(job).ok());
  ASSERT_TRUE(store_->Start(job).ok());
  EXPECT_FALSE(store_->Start(job).ok()) << "running twice";
  ASSERT_TRUE(store_->Finish(job, v1::FAILED, nullptr, {}).ok());
  EXPECT_FALSE(store_->Start(job).ok());
  EXPECT_FALSE(store_->Finish(job, v1::SUCCEEDED, nullptr, {}).ok());
  EXPECT_THAT(States(job), ElementsAre(v1::QUEUED, v1::RUNNING, v1::FAILED));
  EXPECT_EQ(store_->Start(99).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(JobStoreTest, OneRequestIdIsOneJob) {
  const JobNumber job = Submit("r1", 5);
  EXPECT_EQ(Submit("r1", 5), job);
  Reopen();
  EXPECT_EQ(Submit("r1", 5), job);
  EXPECT_EQ(store_->Submit({{"r1", Spec(6), {}}})[0].status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(Submit("r2", 5), job);
  EXPECT_NE(Submit("", 5), Submit("", 5));
}

TEST_F(JobStoreTest, SubmissionsTogetherAreJudgedOneByOne) {
  const auto results =
      store_->Submit({{"a", Spec(1), {}}, {"a", Spec(1), {}}, {"a", Spec(2), {}}, {"b", Spec(2), {}}});
  EXPECT_TRUE(results[0]->fresh);
  EXPECT_FALSE(results[1]->fresh);
  EXPECT_EQ(results[1]->job.id(), results[0]->job.id());
  EXPECT_EQ(results[2].status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(results[3]->fresh);
  EXPECT_THAT(States(1), ElementsAre(v1::QUEUED));
}

TEST_F(JobStoreTest, AQueueHasAnEndThatKnownRequestsDoNotSee) {
  const JobNumber job = Submit("r1");
  EXPECT_EQ(store_->Submit({{"r2", Spec(1), {}}}, 1)[0].status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store_->Submit({{"r1", Spec(1), {}}}, 1)[0]->job.id(), JobId(job));
}

TEST_F(JobStoreTest, CancelEndsWhatWaitsAndMarksWhatRuns) {
  const JobNumber waiting = Submit(), running = Submit();
  ASSERT_TRUE(store_->Start(running).ok());
  EXPECT_EQ(store_->RequestCancel(waiting)->state(), v1::CANCELLED);
  EXPECT_EQ(store_->RequestCancel(running)->state(), v1::RUNNING);
  EXPECT_TRUE(Get(running).cancel_requested());
  ASSERT_TRUE(store_->Requeue(running, {}, Setback::kInterrupted).ok());
  EXPECT_EQ(Get(running).state(), v1::CANCELLED) << "not tried again";
  EXPECT_EQ(store_->RequestCancel(running)->state(), v1::CANCELLED);
  EXPECT_THAT(States(waiting), ElementsAre(v1::QUEUED, v1::CANCELLED));
}

TEST_F(JobStoreTest, EventsContinueAtACursor) {
  const JobNumber job = Submit();
  ASSERT_TRUE(store_->Start(job).ok());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(store_->AddOutput(job, "x", nullptr).ok());
  bool ended = true;
  const auto first = store_->Events(job, 0, 5, &ended).value();
  EXPECT_FALSE(ended);
  ASSERT_EQ(first.size(), 5u);
  const auto rest = store_->Events(job, first.back().seq(), 100, &ended).value();
  ASSERT_EQ(rest.size(), 7u);
  for (size_t i = 0; i < rest.size(); ++i) EXPECT_EQ(rest[i].seq(), static_cast<int64_t>(i) + 6);
  EXPECT_FALSE(ended);
  ASSERT_TRUE(store_->Finish(job, v1::CANCELLED, nullptr, {}).ok());
  EXPECT_EQ(store_->Events(job, 12, 100, &ended)->size(), 1u);
  EXPECT_TRUE(ended);
}

TEST_F(JobStoreTest, ListsAreNewestFirstFilteredAndPaged) {
  for (int i = 0; i < 5; ++i) Submit();
  ASSERT_TRUE(store_->Start(2).ok());
  JobFilter filter;
  filter.limit = 2;
  const auto page = store_->List(filter).value();
  ASSERT_EQ(page.size(), 2u);
  EXPECT_EQ(page[0].id(), "j5");
  filter.before = 4;
  filter.states = {v1::QUEUED};
  const auto next = store_->List(filter).value();
  ASSERT_EQ(next.size(), 2u);
  EXPECT_EQ(next[0].id(), "j3");
  EXPECT_EQ(next[1].id(), "j1");
  filter.kind = "validate";
  EXPECT_TRUE(store_->List(filter)->empty());
}

TEST_F(JobStoreTest, ADeletedJobLeavesNothingAndItsNumberIsNotUsedAgain) {
  const JobNumber job = Submit();
  ASSERT_TRUE(store_->RequestCancel(job).ok());
  ASSERT_TRUE(store_->Delete(job).ok());
  EXPECT_EQ(store_->Get(job, true).status().code(), absl::StatusCode::kNotFound);
  bool ended;
  EXPECT_EQ(store_->Events(job, 0, 1, &ended).status().code(), absl::StatusCode::kNotFound);
  Reopen();
  EXPECT_GT(Submit(), job);
}

TEST_F(JobStoreTest, ASecondProcessIsRefused) {
  auto second = JobStore::Open(folder_ + "/jobs.sqlite");
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another process"));
}

TEST_F(JobStoreTest, JobIdsHaveOneForm) {
  EXPECT_EQ(ParseJobId("j17"), 17);
  for (const char* bad : {"", "j", "17", "j0", "j-1", "j017", "j1 ", "J1", "j99999999999999999999"}) {
    EXPECT_FALSE(ParseJobId(bad)) << bad;
  }
}

// The child submits, starts and finishes jobs, and says on a pipe what it was told is done; it is
// killed at a moment of chance. What it said must be there, and every job whole.
TEST_F(JobStoreTest, WhatWasSaidToBeDoneSurvivesSigkill) {
  unsigned seed = 12345;
  std::set<std::string> promised;
  for (int round = 0; round < 12; ++round) {
    store_.reset();
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      auto store = JobStore::Open(folder_ + "/jobs.sqlite").value();
      for (int i = 0;; ++i) {
        const std::string request = std::to_string(round) + ":" + std::to_string(i);
        const JobNumber job = *ParseJobId(store->Submit({{request, Spec(1), {}}})[0]->job.id());
        const std::string line = request + "\n";
        if (write(ends[1], line.data(), line.size()) < 0) _exit(1);
        if (!store->Start(job).ok() || !store->AddOutput(job, "ab", nullptr).ok()) _exit(2);
        if (!store->Finish(job, v1::SUCCEEDED, nullptr, {}).ok()) _exit(3);
      }
    }
    close(ends[1]);
    char first;
    ASSERT_EQ(read(ends[0], &first, 1), 1);  // it is at work
    usleep(rand_r(&seed) % 20000);
    kill(child, SIGKILL);
    std::string said(1, first);
    char buffer[4096];
    ssize_t n;
    while ((n = read(ends[0], buffer, sizeof(buffer))) > 0) said.append(buffer, n);
    close(ends[0]);
    waitpid(child, nullptr, 0);
    for (size_t at = 0, end; (end = said.find('\n', at)) != std::string::npos; at = end + 1) {
      promised.insert(said.substr(at, end - at));
    }
    Reopen();
  }
  JobFilter all;
  all.limit = 1 << 30;
  const auto jobs = store_->List(all);
  for (const v1::Job& job : *jobs) {
    promised.erase(job.request_id());
    const JobNumber number = *ParseJobId(job.id());
    const auto states = States(number);
    EXPECT_EQ(states.back(), job.state()) << job.id();
    EXPECT_EQ(Get(number).text(), job.state() == v1::SUCCEEDED ? "ab" : Get(number).text());
  }
  EXPECT_TRUE(promised.empty()) << *promised.begin() << " was accepted and is lost";
}

}  // namespace
}  // namespace lockstep
