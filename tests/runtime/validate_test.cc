// Published figures against programs: complete rows, expected verdicts, and that each can fail.
#include "runtime/validation/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "chip/geometry.h"
#include "chip/half.h"
#include "runtime/validation/validate_matmul.h"
#include "runtime/validation/validate_testbed.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

ValidationOptions Options(std::vector<std::string> only = {}) {
  ValidationOptions options;
  options.topology_dir = std::string(LOCKSTEP_SOURCE_DIR) + "/topologies";
  options.only = std::move(only);
  return options;
}

std::vector<ValidationRow> RowsOf(const ValidationOptions& options) {
  const auto rows = Validate(options);
  EXPECT_TRUE(rows.ok()) << rows.status();
  return rows.ok() ? *rows : std::vector<ValidationRow>();
}

TEST(ValidateTest, EveryRowIsCompleteAndStructuralFiguresPass) {
  const std::vector<ValidationRow> rows = RowsOf(Options());
  std::vector<std::string> ids;
  for (const ValidationRow& row : rows) {
    if (ids.empty() || ids.back() != row.id) ids.push_back(row.id);
    for (const std::string& field :
         {row.what, row.published, row.unit, row.tolerance, row.origin}) {
      EXPECT_FALSE(field.empty()) << row.id << " " << row.what;
    }
    EXPECT_LE(row.low, row.high) << row.what;
    EXPECT_TRUE(row.verdict == RowVerdict::kPass || !row.note.empty()) << row.what;
    EXPECT_NE(row.verdict, RowVerdict::kFail) << row.what << ": " << row.note;
  }
  EXPECT_EQ(ids, ValidationIds());
  std::ifstream file(std::string(LOCKSTEP_SOURCE_DIR) + "/docs/validation.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_THAT(text.str(), HasSubstr(ValidationTable(rows)))
      << "regenerate docs/validation.md with `lockstep validate`";
}

TEST(ValidateTest, TwoRunsGiveTheSameBytes) {
  const ValidationOptions options =
      Options({"V2", "V4", "V6", "V7", "V11", "V12", "V14", "V19", "V22"});
  EXPECT_EQ(ValidationTable(RowsOf(options)), ValidationTable(RowsOf(options)));
  EXPECT_EQ(ValidationJson(RowsOf(options)), ValidationJson(RowsOf(options)));
}

struct Perturbed {
  const char* id;
  const char* latency;
  int value;
  bool must_fail;
};

class PerturbedTest : public ::testing::TestWithParam<Perturbed> {};

TEST_P(PerturbedTest, ALatencyMovesTheFigureThatDependsOnIt) {
  const Perturbed& p = GetParam();
  ValidationOptions options = Options({p.id});
  const std::vector<ValidationRow> before = RowsOf(options);
  const auto timing = options.timing.With(p.latency, p.value);
  ASSERT_TRUE(timing.ok());
  options.timing = *timing;
  const std::vector<ValidationRow> after = RowsOf(options);
  EXPECT_NE(ValidationTable(after), ValidationTable(before));
  EXPECT_EQ(AnyFails(after), p.must_fail) << ValidationTable(after);
}

INSTANTIATE_TEST_SUITE_P(
    Latencies, PerturbedTest,
    ::testing::Values(Perturbed{"V4", "read", 4, false}, Perturbed{"V4", "read", 10, true},
                      Perturbed{"V5", "barrier", 36, true}, Perturbed{"V7", "iw", 400, true},
                      Perturbed{"V11", "link_ticks", 3100, true},
                      Perturbed{"V19", "receive", 400, true},
                      Perturbed{"V20", "receive_turnaround", 170, false},
                      Perturbed{"V21", "receive", 2000, true},
                      Perturbed{"V22", "receive", 5000, true}),
    [](const auto& info) {
      return std::string(info.param.id) + info.param.latency + std::to_string(info.param.value);
    });

TEST(ValidateTest, UnknownFiguresAndMissingTopologiesAreErrors) {
  EXPECT_THAT(Validate(Options({"V99"})).status().message(), HasSubstr("V99"));
  ValidationOptions nowhere = Options({"V15"});
  nowhere.topology_dir = "/nonexistent";
  EXPECT_FALSE(Validate(nowhere).ok());
}

TEST(ValidateTest, JsonSaysWhatTheTableSays) {
  const std::vector<ValidationRow> rows = RowsOf(Options({"V5"}));
  const auto json = nlohmann::json::parse(ValidationJson(rows), nullptr, false);
  ASSERT_FALSE(json.is_discarded());
  EXPECT_EQ(json["figures"][0]["measured"], 35);
  EXPECT_EQ(json["pass"], 1);
}

TEST(ValidateTest, TheSweepMarksWhatDependsOnAssumptions) {
  ValidationOptions options = Options({"V4", "V5"});
  const std::vector<ValidationRow> nominal = RowsOf(options);
  options.timing = options.timing.Scaled(150);
  const std::vector<ValidationRow> high = RowsOf(options);
  const std::string table = SensitivityTable(50, nominal, nominal, high);
  EXPECT_THAT(table, HasSubstr("pass, pass, pass | yes |"));
  EXPECT_THAT(table, HasSubstr("35 cycles | 35 cycles | 35 cycles | pass, pass, pass | no |"));
}

// --- the matrix product, by values ---

class MatmulByValueTest : public ::testing::TestWithParam<MatmulShape> {};

int Activation(int row, int k) { return (row * 7 + k * 3) % 5 - 2; }
int Weight(int k, int n) { return (k * 5 + n * 11) % 7 - 3; }

// Puts a half in lane `lane` of two byte planes.
void Put(Sram& sram, int slice, int address, int lane, int value) {
  const uint16_t bits = FloatToHalf(static_cast<float>(value));
  for (int plane = 0; plane < 2; ++plane) {
    Vector v = sram.Load(slice + plane, address);
    v.bytes[lane] = static_cast<uint8_t>(plane == 0 ? bits : bits >> 8);
    sram.Store(slice + plane, address, v);
  }
}

void StoreOperands(Sram& sram, const MatmulShape& shape, Hemisphere side) {
  const int rows = shape.side_rows();
  const int first = shape.cut == MatmulCut::kRows ? static_cast<int>(side) * rows : 0;
  for (int kt = 0; kt < shape.k_tiles; ++kt) {
    for (int r = 0; r < rows; ++r) {
      const MatmulWord w = ActivationWord(shape, r, kt);
      for (int k = 0; k < 160; ++k) {
        Put(sram, SliceNumber(side, w.first_rank), w.address, kt % 2 * 160 + k,
            Activation(first + r, kt * 160 + k));
      }
    }
    for (const MatmulTile& tile : MatmulTiles(shape, side)) {
      const MatmulWord w = WeightWord(shape, kt, tile.slot);
      for (int n = 0; n < 320; ++n) {
        const int column = n % 160, lanes = n / 160 * 160;
        for (int k = 0; k < 160; ++k) {
          Put(sram, SliceNumber(side, w.first_rank + column % 8 * 2), w.address + column / 8,
              lanes + k, Weight(kt * 160 + k, tile.n * 320 + n));
        }
      }
    }
  }
}

float Sum(Sram& sram, const MatmulShape& shape, int row, int n) {
  const Quad at = MatmulSum(shape, row, n / 320);
  uint32_t bits = 0;
  for (int plane = 0; plane < 4; ++plane) {
    const Vector v = sram.Load(ColumnSlice(at.side, at.column, plane), at.address);
    bits |= uint32_t{v.bytes[n % 320]} << (8 * plane);
  }
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

TEST_P(MatmulByValueTest, BothEnginesComputeTheProduct) {
  const MatmulShape& shape = GetParam();
  int wrong = 0;
  const Execution run = RunBoth(
      MatmulProgram(shape, ChipTiming::Default()), ChipTiming::Default(),
      [&](Sram& sram) {
        StoreOperands(sram, shape, Hemisphere::kWest);
        StoreOperands(sram, shape, Hemisphere::kEast);
      },
      [&](Sram& sram) {
        for (int row = 0; row < shape.rows; ++row) {
          for (int n = 0; n < shape.n_tiles * 320; n += 7) {
            int expected = 0;
            for (int k = 0; k < shape.k_tiles * 160; ++k)
              expected += Activation(row, k) * Weight(k, n);
            wrong += Sum(sram, shape, row, n) != static_cast<float>(expected);
          }
        }
      });
  EXPECT_EQ(run.Problem(), "");
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(Cuts, MatmulByValueTest,
                         ::testing::Values(MatmulShape{256, 3, 2},
                                           MatmulShape{256, 3, 3, MatmulCut::kColumns},
                                           MatmulShape{260, 2, 2, MatmulCut::kColumns},
                                           MatmulShape{256, 1, 1, MatmulCut::kColumns}));

}  // namespace
}  // namespace lockstep
