// Well-formed files, and every way of lying in one: each lie is refused with the tensor's name and
// the value.

#include "runtime/model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/model_files.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<SafetensorsIndex> Parse(std::string_view file) {
  return ParseSafetensors(AsBytes(file), "f");
}
std::string ErrorOf(std::string_view file) { return std::string(Parse(file).status().message()); }

// One tensor named w with 8 bytes of data behind the header.
std::string OneTensor(std::string_view entry) {
  return Safetensors("{\"w\":" + std::string(entry) + "}", "12345678");
}

TEST(SafetensorsTest, FindsTensorsWhereTheyLie) {
  const std::string file = Safetensors(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]},)"
      R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("none":{"dtype":"I64","shape":[3,0],"data_offsets":[12,12]}}   )",
      "abcdefghijkl");
  const auto index = Parse(file);
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->metadata.at("format"), "pt");
  EXPECT_EQ(index->tensors.size(), 3u);
  const TensorView& b = index->tensors.at("b");
  EXPECT_EQ(b.dtype, DType::kBF16);
  EXPECT_THAT(b.shape, ElementsAre(2));
  EXPECT_THAT(b.bytes, ElementsAre('i', 'j', 'k', 'l'));
  EXPECT_EQ(b.bytes.data(), AsBytes(file).data() + file.size() - 4);
}

TEST(SafetensorsTest, AScalarAndAnEmptyFileAreLegal) {
  EXPECT_TRUE(Parse(OneTensor(R"({"dtype":"F64","shape":[],"data_offsets":[0,8]})")).ok());
  EXPECT_TRUE(Parse(Safetensors("{}")).ok());
}

TEST(SafetensorsTest, EveryTruncationIsRefused) {
  const std::string file = OneTensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})");
  ASSERT_TRUE(Parse(file).ok());
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(Parse(file.substr(0, size)).ok()) << size;
  }
}

TEST(SafetensorsTest, AHeaderLengthBeyondTheLimitOrTheFileIsRefusedUnread) {
  EXPECT_THAT(ErrorOf(SafetensorsWithLength(uint64_t{1} << 63, "{}")),
              HasSubstr("header length 9223372036854775808 exceeds the limit"));
  EXPECT_THAT(ErrorOf(SafetensorsWithLength(~uint64_t{0}, "{}")), HasSubstr("exceeds the limit"));
  EXPECT_THAT(ErrorOf(SafetensorsWithLength(kMaxSafetensorsHeaderBytes + 1, "{}")),
              HasSubstr("exceeds the limit"));
  EXPECT_THAT(ErrorOf(SafetensorsWithLength(kMaxSafetensorsHeaderBytes, "{}")),
              HasSubstr("exceeds the 2 bytes that follow"));
  EXPECT_THAT(ErrorOf(SafetensorsWithLength(3, "{}")), HasSubstr("header length 3"));
}

struct Lie {
  const char* entry;
  const char* error;
};

TEST(SafetensorsTest, EveryLieOfAnEntryIsNamed) {
  const Lie lies[] = {
      {R"({"dtype":"F99","shape":[2],"data_offsets":[0,8]})", "unknown dtype \"F99\""},
      {R"({"dtype":7,"shape":[2],"data_offsets":[0,8]})", "dtype is not a string: 7"},
      {R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})", "takes 12 bytes"},
      {R"({"dtype":"F16","shape":[2],"data_offsets":[0,8]})", "takes 4 bytes"},
      {R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})", "shape holds -2"},
      {R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})", "shape holds 2.0"},
      {R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})", "shape is not an array"},
      {R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]})", "9 dimensions"},
      {R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})", "2^63"},
      {R"({"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]})", "2^63"},
      {R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})", "not a size"},
      {R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})", "descend"},
      {R"({"dtype":"F32","shape":[2],"data_offsets":[8,16]})", "beyond the 8 bytes"},
      {R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})", "not two offsets"},
      {R"({"dtype":"F32","shape":[2],"data_offsets":[0]})", "not a pair"},
      {R"({"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]})", "two offsets"},
      {R"({"dtype":"F32","shape":[2]})", "no data_offsets"},
      {R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1})", "4 fields"},
      {R"([])", "not an object"},
  };
  for (const Lie& lie : lies) {
    EXPECT_THAT(ErrorOf(OneTensor(lie.entry)), HasSubstr(lie.error)) << lie.entry;
    EXPECT_THAT(ErrorOf(OneTensor(lie.entry)), HasSubstr("tensor \"w\"")) << lie.entry;
  }
}

// Two tensors of bytes at the given offsets in 8 bytes of data.
std::string ErrorOfTwo(int begin1, int end1, int begin2, int end2) {
  const auto entry = [](int begin, int end) {
    return R"({"dtype":"U8","shape":[)" + std::to_string(end - begin) + R"(],"data_offsets":[)" +
           std::to_string(begin) + "," + std::to_string(end) + "]}";
  };
  const std::string a = entry(begin1, end1), b = entry(begin2, end2);
  return ErrorOf(Safetensors("{\"a\":" + a + ",\"b\":" + b + "}", "12345678"));
}

TEST(SafetensorsTest, TensorsTileTheDataExactly) {
  EXPECT_EQ(ErrorOfTwo(0, 4, 4, 8), "");
  EXPECT_EQ(ErrorOfTwo(4, 8, 0, 4), "");  // the order in the header does not matter
  EXPECT_EQ(ErrorOfTwo(0, 0, 0, 8), "");  // an empty one fits anywhere
  EXPECT_THAT(ErrorOfTwo(0, 5, 4, 8), HasSubstr("tensor \"b\": its data begin at 4 inside"));
  EXPECT_THAT(ErrorOfTwo(0, 8, 0, 8), HasSubstr("inside those of \"a\""));
  EXPECT_THAT(ErrorOfTwo(0, 3, 4, 8), HasSubstr("tensor \"b\": its data begin at 4, which leaves"));
  EXPECT_THAT(ErrorOfTwo(0, 4, 4, 7), HasSubstr("end at byte 7 of 8"));
}

TEST(SafetensorsTest, TheHeaderAsAWholeIsChecked) {
  EXPECT_THAT(ErrorOf(Safetensors("[]")), HasSubstr("not a JSON object"));
  EXPECT_THAT(ErrorOf(Safetensors("{\"__metadata__\":{\"a\":1}}")), HasSubstr("not a string: 1"));
  EXPECT_THAT(ErrorOf(Safetensors("{\"__metadata__\":[]}")), HasSubstr("not an object"));
  EXPECT_THAT(ErrorOf(Safetensors("{\"a\":" + std::string(100'000, '['))), HasSubstr("deeper"));
  const std::string entry = R"("w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  EXPECT_THAT(ErrorOf(Safetensors("{" + entry + "," + entry + "}", "12345678")),
              HasSubstr("the key \"w\" occurs twice"));
}

TEST(SafetensorsTest, DTypeNamesGoBothWays) {
  for (const char* name : {"BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "I16", "U16", "F16", "BF16",
                           "I32", "U32", "F32", "I64", "U64", "F64"}) {
    const auto dtype = DTypeByName(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    EXPECT_EQ(DTypeName(*dtype), name);
  }
  EXPECT_EQ(DTypeByName("f32"), std::nullopt);
}

}  // namespace
}  // namespace lockstep
