// A model put together piece by piece shows each rule of encoding and streaming; the real one of
// the shared samples shows that the rules together give the reference's ids and text.

#include "runtime/model/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <sstream>

#include "tests/runtime/model_files.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Writes the protobuf wire format.
std::string Varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
  return out;
}
std::string Number(int field, uint64_t value) { return Varint(field << 3) + Varint(value); }
std::string Text(int field, const std::string& value) {
  return Varint((field << 3) | 2) + Varint(value.size()) + value;
}
std::string PieceField(const std::string& text, float score, PieceType type) {
  const uint32_t bits = std::bit_cast<uint32_t>(score);
  std::string fixed(1, static_cast<char>((2 << 3) | 5));
  for (int i = 0; i < 4; ++i) fixed.push_back(static_cast<char>(bits >> (8 * i)));
  return Text(1, Text(1, text) + fixed + Number(3, static_cast<uint64_t>(type)));
}

// <unk> <s> </s>, then bytes 3..258 if asked for, then the given pieces with scores -1, -2, ...
struct Recipe {
  int kind = 2;  // BPE
  bool bytes = true;
  std::vector<std::string> pieces = {};
  std::string normalizer = Number(4, 0);  // keeps extra spaces, as Llama's models do
};
std::string Model(const Recipe& recipe) {
  std::string out = PieceField("<unk>", 0, PieceType::kUnknown) +
                    PieceField("<s>", 0, PieceType::kControl) +
                    PieceField("</s>", 0, PieceType::kControl);
  for (int b = 0; recipe.bytes && b < 256; ++b) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", static_cast<unsigned>(b));
    out += PieceField(text, 0, PieceType::kByte);
  }
  float score = 0;
  for (const std::string& piece : recipe.pieces) {
    out += PieceField(piece, --score, PieceType::kNormal);
  }
  out += Text(2, Number(3, static_cast<uint64_t>(recipe.kind)) + Number(35, recipe.bytes));
  return out + Text(3, recipe.normalizer);
}
Tokenizer Make(const Recipe& recipe) {
  auto tokenizer = Tokenizer::Parse(Model(recipe), "m");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}
constexpr int kFirst = 259;  // id of the first given piece when there are bytes
const std::string kSpace(kSpaceSymbol);

TEST(TokenizerTest, BpeJoinsTheBestPairFirst) {
  // "abc": ab (-1) is joined before bc (-2), then nothing makes abc.
  const Tokenizer t = Make({.pieces = {"ab", "bc", "a", "b", "c", kSpace}});
  EXPECT_THAT(*t.Encode("abc", false), ElementsAre(kFirst + 5, kFirst, kFirst + 4));
  EXPECT_THAT(*t.Encode("abc", true), ElementsAre(1, kFirst + 5, kFirst, kFirst + 4));
}

TEST(TokenizerTest, UnigramTakesTheCutOfGreatestScore) {
  // "ab" whole costs 1, "a" + "b" cost 2 + 3; the dummy space costs 4.
  const Tokenizer t = Make({.kind = 1, .pieces = {"ab", "a", "b", kSpace}});
  EXPECT_THAT(*t.Encode("ab", false), ElementsAre(kFirst + 3, kFirst));
}

TEST(TokenizerTest, ACharacterWithoutAPieceBecomesItsBytesOrOneUnknown) {
  EXPECT_THAT(*Make({.pieces = {kSpace}}).Encode("é", false),
              ElementsAre(kFirst, 3 + 0xc3, 3 + 0xa9));
  EXPECT_THAT(*Make({.bytes = false, .pieces = {kSpace}}).Encode("éé", false), ElementsAre(3, 0));
}

TEST(TokenizerTest, SpacesAreKeptOrRemovedAsTheModelSays) {
  const Tokenizer keeps = Make({.pieces = {"a", kSpace}});
  EXPECT_THAT(*keeps.Encode(" a", false), ElementsAre(kFirst + 1, kFirst + 1, kFirst));
  EXPECT_EQ(*keeps.Decode(*keeps.Encode("  a ", true)), "  a ");
  const Tokenizer removes = Make({.pieces = {"a", kSpace}, .normalizer = Number(4, 1)});
  EXPECT_THAT(*removes.Encode("  a ", false), ElementsAre(kFirst + 1, kFirst));
  EXPECT_TRUE(removes.Encode("   ", false)->empty());
  EXPECT_TRUE(keeps.Encode("", false)->empty());
}

TEST(TokenizerTest, AStreamEmitsOnlyWholeCharacters) {
  const Tokenizer t = Make({.pieces = {kSpace + "a", "b"}});
  StreamDecoder decoder(&t);
  EXPECT_EQ(*decoder.Push(1), "");        // control
  EXPECT_EQ(*decoder.Push(kFirst), "a");  // the first space is the dummy
  EXPECT_EQ(*decoder.Push(kFirst), " a");
  EXPECT_EQ(*decoder.Push(3 + 0xe2), "");  // U+20AC in three bytes
  EXPECT_EQ(*decoder.Push(3 + 0x82), "");
  EXPECT_EQ(*decoder.Push(3 + 0xac), "\xE2\x82\xAC");
  EXPECT_EQ(*decoder.Push(3 + 0xe2), "");
  EXPECT_EQ(*decoder.Push(kFirst + 1),
            "\xEF\xBF\xBD"
            "b");                                      // the character never became whole
  EXPECT_EQ(*decoder.Push(3 + 0xff), "\xEF\xBF\xBD");  // begins no character
  EXPECT_EQ(*decoder.Push(3 + 0xf0), "");
  EXPECT_EQ(decoder.Finish(), "\xEF\xBF\xBD");
}

TEST(TokenizerTest, AnIdOutsideTheVocabularyIsAnError) {
  const Tokenizer t = Make({.pieces = {"a"}});
  EXPECT_THAT(t.Decode(std::vector<int>{t.vocab_size()}).status().ToString(), HasSubstr("260"));
  EXPECT_FALSE(t.Decode(std::vector<int>{-1}).ok());
}

TEST(TokenizerTest, EveryTruncationOfAModelIsRefusedOrStillWhole) {
  const std::string model = Model({.bytes = false, .pieces = {"ab", "a", "b"}});
  for (size_t size = 0; size < model.size(); ++size) {
    const auto t = Tokenizer::Parse(std::string_view(model).substr(0, size), "m");
    if (!t.ok()) continue;
    EXPECT_EQ(t->Encode("abc", true).ok(), t->bos_id().has_value()) << size;
  }
}

TEST(TokenizerTest, BrokenModelsAreRefusedWithTheReason) {
  const auto error = [](const std::string& model) {
    return Tokenizer::Parse(model, "m").status().ToString();
  };
  EXPECT_THAT(error(""), HasSubstr("no pieces"));
  EXPECT_THAT(error("{}"), HasSubstr("not a SentencePiece model"));
  EXPECT_THAT(error(Model({.pieces = {"a", "a"}})), HasSubstr("\"a\" occurs twice"));
  EXPECT_THAT(error(Model({.pieces = {""}})), HasSubstr("has 0 bytes"));
  EXPECT_THAT(error(Model({.kind = 3})), HasSubstr("model type 3"));
  EXPECT_THAT(error(PieceField("a", 0, PieceType::kNormal)), HasSubstr("0 unknown pieces"));
  const std::string bytes_promised = Text(2, Number(3, 2) + Number(35, 1));
  EXPECT_THAT(error(PieceField("a", 0, PieceType::kUnknown) + bytes_promised),
              HasSubstr("<0x00> is missing"));
  EXPECT_THAT(error(Model({.normalizer = Text(2, "\xff\xff\xff\xffx")})), HasSubstr("charsmap"));
}

TEST(TokenizerTest, AFolderWithoutATokenizerIsNoErrorYet) {
  TempFolder folder;
  const auto none = Tokenizer::LoadIfPresent(folder.path());
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
  EXPECT_THAT(NoTokenizerError(folder.path()).ToString(), HasSubstr("tokenizer.model"));
  folder.Write("tokenizer.model", "nonsense");
  EXPECT_FALSE(Tokenizer::LoadIfPresent(folder.path()).ok());
}

// The ids on one line of an .ids file, after its word.
std::vector<int> IdsOf(const std::string& file, const std::string& word) {
  std::istringstream lines(ReadText(file));
  std::vector<int> ids;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first;
    words >> first;
    if (first != word) continue;
    for (int id; words >> id;) ids.push_back(id);
  }
  return ids;
}

TEST(TokenizerSampleTest, TheRealModelGivesTheReferencesIdsAndText) {
  const std::string folder = SharedPath("models/stories260K");
  if (folder.empty()) GTEST_SKIP() << "shared sample stories260K is not on this machine";
  const auto t = Tokenizer::LoadIfPresent(folder);
  ASSERT_TRUE(t.ok() && t->has_value()) << t.status();
  const std::string expected = folder + "/expected/stories260K.once.";
  const std::vector<int> prompt = IdsOf(expected + "ids", "prompt");
  EXPECT_EQ(*(*t)->Encode("Once upon a time", true), prompt);
  EXPECT_EQ(*(*t)->Encode("", true), std::vector<int>{1});
  StreamDecoder decoder(&t->value());
  std::string text;
  for (const int id : prompt) text += *decoder.Push(id);
  for (const int id : IdsOf(expected + "ids", "generated")) text += *decoder.Push(id);
  EXPECT_EQ(text + decoder.Finish(), ReadText(expected + "txt"));
}

}  // namespace
}  // namespace lockstep
