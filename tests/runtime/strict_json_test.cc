// What the strict reader refuses that nlohmann's own would take, and that it builds the same value
// otherwise.

#include "runtime/files/strict_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(std::string_view text, JsonLimits limits = {}) {
  return std::string(ParseStrictJson(text, "f.json", limits).status().message());
}

TEST(StrictJsonTest, BuildsWhatTheLibraryBuilds) {
  const std::string text = R"({"a":[1,-2,3.5,{"b":null}],"c":{"d":true,"e":"x"},"f":[],"g":{}})";
  const auto value = ParseStrictJson(text, "f");
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(*value, nlohmann::json::parse(text));
}

TEST(StrictJsonTest, AKeyMayNotOccurTwiceInOneObject) {
  EXPECT_THAT(ErrorOf(R"({"a":1,"a":1})"), HasSubstr("f.json: the key \"a\" occurs twice"));
  EXPECT_TRUE(ParseStrictJson(R"({"a":{"a":1},"b":{"a":1}})", "f").ok());
}

TEST(StrictJsonTest, NestingIsAcceptedAtTheLimitAndRefusedBeyond) {
  EXPECT_EQ(ErrorOf("[[[]]]", {.max_depth = 3}), "");
  EXPECT_THAT(ErrorOf("[[[[]]]]", {.max_depth = 3}), HasSubstr("nested deeper than 3"));
  EXPECT_THAT(ErrorOf(std::string(50'000'000, '[')), HasSubstr("nested deeper"));
}

TEST(StrictJsonTest, TheNumberOfValuesIsBounded) {
  EXPECT_EQ(ErrorOf("[1,2]", {.max_values = 3}), "");
  EXPECT_THAT(ErrorOf("[1,2,3]", {.max_values = 3}), HasSubstr("more than 3 values"));
}

TEST(StrictJsonTest, NonsenseIsRefusedWithItsPlace) {
  for (const char* text : {"", "{", "[1,]", "{\"a\" 1}", "1 2", "{\"a\":1}x", "\"\xff\"", "1e999",
                           "nul", "{a:1}", "// c\n1"}) {
    EXPECT_THAT(ErrorOf(text), HasSubstr("not JSON at byte")) << text;
  }
}

TEST(StrictJsonTest, QuotedTextIsEscapedAndCut) {
  EXPECT_EQ(Quoted("a\n\"b"), "\"a\\n\\\"b\"");
  EXPECT_EQ(Quoted(std::string(100, 'x')), "\"" + std::string(80, 'x') + "...\"");
  EXPECT_EQ(QuotedJson(nlohmann::json::array({1, 2})), "an array of 2");
}

}  // namespace
}  // namespace lockstep
