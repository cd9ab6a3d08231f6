// Measured times and errors by band.
#include "runtime/comparison/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/comparison/compare.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMost = int64_t{16} << 30;

TEST(NcclLogTest, ColumnsAreFoundByNameAndCommentsLeftOut) {
  const auto rows = ParseNcclLog("# x\ntime_us,bytes\n18.5,8\n\n20.25,1024\n", "f", kMost);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[1].bytes, 1024);
  EXPECT_EQ((*rows)[1].time_us, 20.25);
}

TEST(NcclLogTest, BadRowsAreNamedByTheirLine) {
  const auto error = [](const char* text) {
    return std::string(ParseNcclLog(text, "f", kMost).status().message());
  };
  EXPECT_THAT(error(""), HasSubstr("no rows"));
  EXPECT_THAT(error("bytes,us\n8,1\n"), HasSubstr("f:1: need a header line"));
  EXPECT_THAT(error("bytes,time_us\n8\n"), HasSubstr("f:2: only 1 fields"));
  EXPECT_THAT(error("bytes,time_us\n8,nan\n"), HasSubstr("f:2: time_us \"nan\""));
  EXPECT_THAT(error("bytes,time_us\n8,-1\n"), HasSubstr("need a positive number"));
  EXPECT_THAT(error("bytes,time_us\n0,1\n"), HasSubstr("bytes \"0\""));
}

// Two rows 10 % and 30 % off in one band, one exact in another.
TEST(CalibrationTest, ErrorsAreMeansOfTheirBand) {
  std::vector<CalibrationRow> rows(3);
  rows[0].measured = {8, 100}, rows[0].simulated_us = 110;
  rows[1].measured = {1024, 100}, rows[1].simulated_us = 70;
  rows[2].measured = {64 << 20, 50}, rows[2].simulated_us = 50;
  const BandErrors errors = ErrorsByBand(rows);
  EXPECT_NEAR(errors.band[0], 20, 1e-9);
  EXPECT_EQ(errors.band[1], -1);
  EXPECT_NEAR(errors.band[4], 0, 1e-9);
  EXPECT_NEAR(errors.all, 40.0 / 3, 1e-9);
}

// 12 of the 31 sizes of the log that dgx-a100.textproto names.
TEST(CalibrationTest, DgxA100MeetsItsLogByBand) {
  const auto machine = LoadGpuMachine("dgx-a100", LOCKSTEP_SOURCE_DIR "/topologies");
  ASSERT_TRUE(machine.ok()) << machine.status();
  const std::vector<MeasuredTime> log = {
      {8, 18.75},        {1024, 20.35},       {8192, 24.43},        {65536, 28.32},
      {262144, 28.98},   {1048576, 37.33},    {4194304, 84.77},     {16777216, 220.5},
      {67108864, 579.2}, {268435456, 2169.8}, {1073741824, 8212.6}, {8589934592, 64200}};
  const auto rows = Calibrate(machine->machine, {}, nccl::Operation::kAllReduce, 8, log);
  ASSERT_TRUE(rows.ok()) << rows.status();
  const BandErrors errors = ErrorsByBand(*rows);
  for (double e : errors.band) EXPECT_LT(e, 6);
  EXPECT_LT(errors.band[4], 3);
  nccl::Options reduced;
  reduced.mechanisms.slowest = false;
  const auto without = Calibrate(machine->machine, reduced, nccl::Operation::kAllReduce, 8, log);
  EXPECT_GT(ErrorsByBand(*without).band[2], 3 * errors.band[2]);
}

TEST(CompareCsvTest, AnAbsentSideIsEmptyFields) {
  ComparedSize row;
  row.baseline.point = MakePoint(nccl::Operation::kAllReduce, 8000, 8, 2);
  const std::string header =
      "collective,bytes,lockstep_time_us,lockstep_algbw_GBps,lockstep_busbw_GBps,"
      "baseline_time_us,baseline_algbw_GBps,baseline_busbw_GBps\n";
  EXPECT_EQ(CompareCsv({{nccl::Operation::kAllReduce, {row}}}),
            header + "all_reduce,8000,,,,2.000,4,7\n");
  row.lockstep = LockstepPoint{MakePoint(nccl::Operation::kAllReduce, 8000, 8, 1)};
  EXPECT_EQ(CompareCsv({{nccl::Operation::kAllReduce, {row}}}),
            header + "all_reduce,8000,1.000,8,14,2.000,4,7\n");
  EXPECT_EQ(CompareCsv({{nccl::Operation::kAllReduce, {}}, {nccl::Operation::kAllGather, {row}}}),
            header + "all_gather,8000,1.000,8,14,2.000,4,7\n");
}

}  // namespace
}  // namespace lockstep
