// The timeline, parsed back: tracks, order, flows that match.
#include "runtime/run/timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "chip/queue.h"
#include "fabric/local_fabric.h"

namespace lockstep {
namespace {

using Json = nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;

// Chip 0's link 2 and chip 1's link 5 are one cable.
Wiring TwoChips() {
  return Wiring::Create(2, {{0, 2, 5, 1, 217}, {1, 5, 2, 0, 217}}, 2952).value();
}

class TimelineTest : public ::testing::Test {
 protected:
  void Run(uint32_t chip, int queue, Opcode op, int64_t first, int64_t last, int count) {
    recorder_.OnRun(chip, {next_[chip]++, queue, op, first, last, count, 7});
  }
  void NextStep() { next_[0] = next_[1] = 0; }

  Json Trace() {
    const std::vector<TimelineProgram> programs = {{0, &kernels_}};
    const TimelineInput input{
        wiring_, {programs, two_programs_ ? Two() : programs}, 1000, recorder_.Take()};
    return Json::parse(TimelineJson(input), nullptr, false);
  }
  std::vector<TimelineProgram> Two() const { return {{100, &kernels_}, {500, &kernels_}}; }
  static std::vector<Json> Events(const Json& trace, const std::string& phase) {
    std::vector<Json> out;
    for (const Json& e : trace["traceEvents"]) {
      if (e["ph"] == phase) out.push_back(e);
    }
    return out;
  }
  static std::vector<std::string> Tracks(const Json& trace, int chip) {
    std::vector<std::string> out;
    for (const Json& e : Events(trace, "M")) {
      if (e["pid"] == chip && e["name"] == "thread_name") out.push_back(e["args"]["name"]);
    }
    return out;
  }

  Wiring wiring_ = TwoChips();
  std::vector<Placer::Span> kernels_ = {{"norm", 0, 90}, {"q", 40, 200}, {"k", 100, 150}};
  TimelineRecorder recorder_{2, 2};
  int32_t next_[2] = {0, 0};
  bool two_programs_ = false;  // a step of chip 1
};

TEST_F(TimelineTest, HasAProcessAChipAndATrackAQueue) {
  Run(0, MemQueue(7), Opcode::kRead, 5, 9, 5);
  Run(1, C2cQueue(5), Opcode::kReceive, 300, 300, 1);
  const Json trace = Trace();
  ASSERT_FALSE(trace.is_discarded());
  EXPECT_THAT(Tracks(trace, 0), ElementsAre("kernels", "kernels (2)", "mem7"));
  EXPECT_THAT(Tracks(trace, 1), Contains("c2c5"));
}

TEST_F(TimelineTest, ASliceLastsFromItsFirstDispatchToAfterItsLast) {
  Run(0, MemQueue(7), Opcode::kRead, 5, 9, 5);
  for (const Json& e : Events(Trace(), "X")) {
    if (e["cat"] != "run") continue;
    EXPECT_EQ(e["name"], "read");
    EXPECT_EQ(e["ts"], 5);
    EXPECT_EQ(e["dur"], 5);
    EXPECT_EQ(e["args"]["count"], 5);
  }
}

TEST_F(TimelineTest, SlicesOfATrackAreSortedAndDoNotOverlap) {
  Run(0, MemQueue(7), Opcode::kRead, 0, 30, 31);
  Run(0, MemQueue(7), Opcode::kWrite, 10, 40, 31);
  Run(0, MemQueue(7), Opcode::kRead, 31, 50, 20);
  std::map<std::pair<int, int>, int64_t> ends;
  for (const Json& e : Events(Trace(), "X")) {
    int64_t& end = ends[{e["pid"], e["tid"]}];
    EXPECT_GE(e["ts"].get<int64_t>(), end) << e;
    end = e["ts"].get<int64_t>() + e["dur"].get<int64_t>();
  }
}

TEST_F(TimelineTest, EveryVectorIsAFlowFromItsSendToItsReceive) {
  Run(0, C2cQueue(2), Opcode::kSend, 10, 58, 3);       // 10, 34, 58
  Run(1, C2cQueue(5), Opcode::kReceive, 300, 348, 3);  // 300, 324, 348
  const Json trace = Trace();
  const std::vector<Json> from = Events(trace, "s"), to = Events(trace, "f");
  ASSERT_EQ(from.size(), 3u);
  ASSERT_EQ(to.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(from[i]["id"], to[i]["id"]);
    EXPECT_EQ(from[i]["ts"], 10 + 24 * i);
    EXPECT_EQ(to[i]["ts"], 300 + 24 * i);
    EXPECT_EQ(from[i]["pid"], 0);
    EXPECT_EQ(to[i]["pid"], 1);
  }
}

TEST_F(TimelineTest, StepsFollowEachOtherUpToTheNumberAskedFor) {
  for (int step = 0; step < 3; ++step, NextStep()) {
    Run(0, MemQueue(0), Opcode::kRead, 5, 5, 1);
  }
  std::set<int> starts;
  for (const Json& e : Events(Trace(), "X")) {
    if (e["cat"] == "run") starts.insert(e["ts"].get<int>());
  }
  EXPECT_THAT(starts, ElementsAre(5, 1005));
}

TEST_F(TimelineTest, ProgramsOfAStepStandWhereTheyStart) {
  two_programs_ = true;
  recorder_.SetPrograms(1, {0, 0, 2});
  for (int program = 0; program < 5; ++program, NextStep()) {
    Run(1, MemQueue(0), Opcode::kRead, 5, 5, 1);
  }
  std::set<int> starts;
  for (const Json& e : Events(Trace(), "X")) {
    if (e["cat"] == "run") starts.insert(e["ts"].get<int>());
  }
  EXPECT_THAT(starts, ElementsAre(105, 505, 1105, 1505));
}

TEST_F(TimelineTest, BatchesHaveProgramsOfTheirOwnNumber) {
  recorder_.SetPrograms(0, {1, 3, 2});
  for (int program = 0; program < 6; ++program, NextStep()) {
    Run(0, MemQueue(0), Opcode::kRead, 5, 5, 1);
  }
  TimelineInput input{wiring_, {Two(), {}}, 1000, recorder_.Take()};
  input.batches = 1, input.batch_cycles = 3000;
  input.batch_programs = {{{0, &kernels_}, {700, &kernels_}, {900, &kernels_}}, {}};
  std::set<int> starts;
  for (const Json& e : Events(Json::parse(TimelineJson(input), nullptr, false), "X")) {
    if (e["cat"] == "run") starts.insert(e["ts"].get<int>());
  }
  EXPECT_THAT(starts, ElementsAre(5, 705, 905, 3105, 3505));  // two steps are kept
}

TEST_F(TimelineTest, GatheredEventsAreWhatWasRecorded) {
  Run(0, MemQueue(0), Opcode::kRead, 5, 6, 2);
  Run(1, MemQueue(0), Opcode::kRead, 8, 8, 1);
  const auto fabric = LocalFabric::Create(wiring_, 1).value();
  const std::vector<ChipEvent> all = GatherEvents(*fabric, recorder_.Take());
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].run.last, 6);
  EXPECT_EQ(all[1].chip, 1u);
}

}  // namespace
}  // namespace lockstep
