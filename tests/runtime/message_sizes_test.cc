// Sizes as users write them.
#include "runtime/comparison/message_sizes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kMost = int64_t{16} << 30;

TEST(MessageSizesTest, ARangeMultipliesAndAListIsKept) {
  EXPECT_THAT(*ParseMessageSizes("8:64:2", kMost), ElementsAre(8, 16, 32, 64));
  EXPECT_THAT(*ParseMessageSizes("1K:9K:3", kMost), ElementsAre(1024, 3072, 9216));
  EXPECT_THAT(*ParseMessageSizes("3,1k,2M", kMost), ElementsAre(3, 1024, 2 << 20));
  EXPECT_EQ(ParseMessageSizes("8:8G:2", kMost)->size(), 31u);
}

TEST(MessageSizesTest, BadOnesAreRefusedWithTheReason) {
  const auto error = [](const char* text) {
    return std::string(ParseMessageSizes(text, kMost).status().message());
  };
  EXPECT_EQ(error("0"), "message size \"0\": need at least 1 B");
  EXPECT_EQ(error("-8"), "message size \"-8\": need at least 1 B");
  EXPECT_THAT(error("99999999999999999999"), HasSubstr("need a number"));
  EXPECT_THAT(error("9000000000G"), HasSubstr("more than 17179869184 B"));
  EXPECT_THAT(error("17G"), HasSubstr("more than 17179869184 B"));
  EXPECT_THAT(error(""), HasSubstr("need a number"));
  EXPECT_THAT(error("K"), HasSubstr("need a number"));
  EXPECT_THAT(error("8,,16"), HasSubstr("need a number"));
  EXPECT_THAT(error("8:64"), HasSubstr("FIRST:LAST:FACTOR"));
  EXPECT_THAT(error("8:64:1"), HasSubstr("a factor of at least 2"));
  EXPECT_THAT(error("64:8:2"), HasSubstr("the first is larger"));
}

TEST(MessageSizesTest, TextIsTheShortest) {
  EXPECT_EQ(MessageSizeText(8), "8");
  EXPECT_EQ(MessageSizeText(768 << 10), "768K");
  EXPECT_EQ(MessageSizeText(int64_t{8} << 30), "8G");
}

}  // namespace
}  // namespace lockstep
