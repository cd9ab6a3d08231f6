// Checkpoints of one file and of shards, the conversions on the way out, and the folders that are
// refused.

#include "runtime/model/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "chip/half.h"
#include "tests/runtime/model_files.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A file with one tensor of the given dtype and shape.
template <typename T>
std::string OneTensor(const std::string& name, const char* dtype, const char* shape,
                      const std::vector<T>& values) {
  const std::string data = BytesOf(values);
  return Safetensors("{\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
                         ",\"data_offsets\":[0," + std::to_string(data.size()) + "]}}",
                     data);
}

class CheckpointTest : public ::testing::Test {
 protected:
  Checkpoint Open() {
    auto checkpoint = Checkpoint::Open(folder_.path());
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    return *std::move(checkpoint);
  }
  std::string OpenError() {
    return std::string(Checkpoint::Open(folder_.path()).status().message());
  }
  TempFolder folder_;
  const std::vector<int64_t> shape_ = {2, 3};
};

TEST_F(CheckpointTest, ReadsARectangleOfAnyWeightTypeAsFp16) {
  const std::vector<float> floats = {1, 2, 3, -4, 0.1f, 6};
  std::vector<uint16_t> halves, bfloats;
  for (const float f : floats) {
    halves.push_back(FloatToHalf(f));
    bfloats.push_back(static_cast<uint16_t>(std::bit_cast<uint32_t>(f) >> 16));
  }
  const uint16_t tenth_of_bf16 = FloatToHalf(BFloat16ToFloat(bfloats[4]));
  for (const auto& [file, tenth] :
       {std::pair(OneTensor("w", "F32", "[2,3]", floats), halves[4]),
        std::pair(OneTensor("w", "F16", "[2,3]", halves), halves[4]),
        std::pair(OneTensor("w", "BF16", "[2,3]", bfloats), tenth_of_bf16)}) {
    folder_.Write("model.safetensors", file);
    std::vector<uint16_t> out(4);
    const auto status = Open().ReadRowsF16("w", shape_, {0, 2, 1, 2}, out);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_THAT(out, ElementsAre(halves[1], halves[2], tenth, halves[5]));
  }
}

TEST_F(CheckpointTest, ReadsAWholeTensorAsFp32) {
  const std::vector<uint16_t> halves = {0x3c00, 0xc000, 1};
  folder_.Write("model.safetensors", OneTensor("w", "F16", "[3]", halves));
  std::vector<float> out(3);
  ASSERT_TRUE(Open().ReadF32("w", std::vector<int64_t>{3}, out).ok());
  EXPECT_THAT(out, ElementsAre(1.0f, -2.0f, 0x1p-24f));
}

TEST_F(CheckpointTest, AFiniteWeightBeyondFp16IsAnErrorWithItsPlace) {
  folder_.Write("model.safetensors",
                OneTensor("w", "F32", "[2,3]", std::vector<float>{1, 65519, 0, 0, 65520, 1e9f}));
  const Checkpoint checkpoint = Open();
  std::vector<uint16_t> out(6);
  EXPECT_TRUE(checkpoint.ReadRowsF16("w", shape_, {0, 1, 0, 3}, std::span(out).first(3)).ok());
  const auto status = checkpoint.ReadRowsF16("w", shape_, {0, 2, 0, 3}, out);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("\"w\": the weight 65520 at row 1, column 1"));
}

TEST_F(CheckpointTest, WhatDoesNotFitTheCallIsRefused) {
  folder_.Write("model.safetensors", OneTensor("w", "F32", "[2,3]", std::vector<float>(6)));
  const Checkpoint checkpoint = Open();
  std::vector<float> out(6);
  const auto error = [&](const char* name, std::vector<int64_t> shape, MatrixBlock block) {
    return checkpoint.ReadRowsF32(name, shape, block, out).ToString();
  };
  EXPECT_THAT(error("v", shape_, {0, 2, 0, 3}), HasSubstr("tensor \"v\" is missing"));
  EXPECT_THAT(error("w", {3, 2}, {0, 2, 0, 3}), HasSubstr("has shape [2, 3], expected [3, 2]"));
  EXPECT_THAT(error("w", {6}, {0, 1, 0, 6}), HasSubstr("has shape [2, 3], expected [6]"));
  EXPECT_THAT(error("w", shape_, {1, 2, 0, 3}), HasSubstr("lie outside"));
  EXPECT_THAT(error("w", shape_, {0, 2, 1, 3}), HasSubstr("lie outside"));
  EXPECT_THAT(error("w", shape_, {-1, 2, 0, 3}), HasSubstr("lie outside"));
}

TEST_F(CheckpointTest, ATypeThatNoWeightHasIsListedButNotRead) {
  folder_.Write("model.safetensors", OneTensor("w", "I64", "[3]", std::vector<int64_t>(3)));
  const Checkpoint checkpoint = Open();
  EXPECT_TRUE(checkpoint.Contains("w"));
  std::vector<float> out(3);
  EXPECT_THAT(checkpoint.ReadF32("w", std::vector<int64_t>{3}, out).ToString(),
              HasSubstr("has dtype I64"));
}

TEST_F(CheckpointTest, ShardsAreReadThroughTheIndex) {
  folder_.Write("m-1.safetensors", OneTensor("a", "F32", "[1]", std::vector<float>{1}));
  folder_.Write("m-2.safetensors", OneTensor("b", "F32", "[1]", std::vector<float>{2}));
  folder_.Write("model.safetensors.index.json",
                R"({"metadata":{},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})");
  const Checkpoint checkpoint = Open();
  EXPECT_EQ(checkpoint.shard_count(), 2);
  EXPECT_THAT(checkpoint.Names(), ElementsAre("a", "b"));
  std::vector<float> out(1);
  ASSERT_TRUE(checkpoint.ReadF32("b", std::vector<int64_t>{1}, out).ok());
  EXPECT_EQ(out[0], 2.0f);
}

TEST_F(CheckpointTest, AnIndexCannotPointOutsideTheFolder) {
  for (const char* shard : {"../m.safetensors", "/etc/passwd", "sub/m.safetensors", "..", ".", "",
                            "a\\\\b", "m\\u0000.safetensors"}) {
    folder_.Write("model.safetensors.index.json",
                  R"({"weight_map":{"a":")" + std::string(shard) + "\"}}");
    EXPECT_THAT(OpenError(), HasSubstr("not a plain file name")) << shard;
  }
}

TEST_F(CheckpointTest, AnIndexThatIsWrongIsNamed) {
  folder_.Write("m.safetensors", OneTensor("a", "F32", "[1]", std::vector<float>{1}));
  const auto error = [&](const char* index) {
    folder_.Write("model.safetensors.index.json", index);
    return OpenError();
  };
  EXPECT_THAT(error(R"({"weight_map":{"z":"m.safetensors"}})"),
              HasSubstr("\"z\" is not in its shard"));
  EXPECT_THAT(error(R"({"weight_map":{"a":"gone.safetensors"}})"), HasSubstr("gone.safetensors"));
  EXPECT_THAT(error(R"({"weight_map":{"a":3}})"), HasSubstr("shard 3"));
  EXPECT_THAT(error(R"({"weight_map":[]})"), HasSubstr("no object \"weight_map\""));
  EXPECT_THAT(error("{"), HasSubstr("not JSON"));
}

TEST_F(CheckpointTest, AFolderWithoutACheckpointSaysWhatWasLookedFor) {
  EXPECT_THAT(OpenError(), HasSubstr("neither model.safetensors nor model.safetensors.index.json"));
}

TEST(CheckpointSampleTest, RealFilesOpenAndTheirWeightsAreFinite) {
  for (const char* name : {"models/stories260K", "models/tiny_llama"}) {
    const std::string folder = SharedPath(name);
    if (folder.empty()) GTEST_SKIP() << "shared sample " << name << " is not on this machine";
    const auto checkpoint = Checkpoint::Open(folder);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    for (const std::string& tensor : checkpoint->Names()) {
      const std::vector<int64_t> shape = checkpoint->Find(tensor)->shape;
      size_t size = 1;
      for (const int64_t dim : shape) size *= static_cast<size_t>(dim);
      std::vector<float> exact(size);
      ASSERT_TRUE(checkpoint->ReadF32(tensor, shape, exact).ok()) << tensor;
      for (const float f : exact) ASSERT_TRUE(std::isfinite(f)) << tensor;
    }
  }
}

}  // namespace
}  // namespace lockstep
