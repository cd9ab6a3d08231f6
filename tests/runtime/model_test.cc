// Whole models on one to eight chips against double precision: heads, groups and sizes that do not
// divide evenly.
//
// Tolerance: the reference moves its own values by half a unit of fp16 wherever the chip rounds
// (four random draws); rounding may move the chip's logits three times as far as the farthest of
// those. A wrong head, row or position moves them by their own size, hundreds of times more.
#include <algorithm>

#include "fabric/link_model.h"
#include "fabric/local_fabric.h"
#include "gtest/gtest.h"
#include "runtime/run/session.h"
#include "tests/runtime/random_model.h"

namespace lockstep {
namespace {

struct Case {
  int chips, hidden, ffn, layers, heads, kv_heads, head_dim, vocab;
  bool tied;
  const char* dtype;
  int context, steps;
  NumberFormat kv_cache = NumberFormat::kFp16;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.chips << " chips, hidden " << c.hidden << ", ffn " << c.ffn << ", heads "
             << c.heads << "/" << c.kv_heads << " x " << c.head_dim << ", vocab " << c.vocab
             << (c.tied ? " tied " : " ") << c.dtype << ", context " << c.context << ", cache in "
             << NumberFormatName(c.kv_cache);
}

ModelConfig ConfigOf(const Case& c) {
  ModelConfig m;
  m.architecture = "LlamaForCausalLM";
  m.hidden_size = c.hidden, m.intermediate_size = c.ffn, m.layers = c.layers;
  m.heads = c.heads, m.kv_heads = c.kv_heads, m.head_dim = c.head_dim, m.vocab_size = c.vocab;
  m.max_positions = 4096, m.rms_norm_eps = 1e-5, m.tie_word_embeddings = c.tied;
  return m;
}

// A node of fully connected chips in this process, with both engines.
class Node {
 public:
  Node(const ModelConfig& config, const TempFolder& folder, int chips, int context,
       const ChipTiming& timing = ChipTiming::Default(), NumberFormat format = NumberFormat::kFp16,
       NumberFormat kv_cache = NumberFormat::kFp16) {
    weights = std::make_unique<Checkpoint>(*Checkpoint::Open(folder.path()));
    const auto links = LinkModel::Create();
    const int flight = static_cast<int>(links->flight_cycles());
    std::vector<Wire> wires;
    std::vector<Group> groups;
    const auto port = [chips](int from, int to) { return (to - from - 1 + chips) % chips; };
    for (int i = 0; i < chips; ++i) {
      Group group{chips, i, std::vector<int>(chips, -1), flight};
      for (int j = 0; j < chips; ++j) {
        if (i == j) continue;
        group.port[j] = port(i, j);
        wires.push_back({static_cast<uint32_t>(i), static_cast<uint8_t>(port(i, j)),
                         static_cast<uint8_t>(port(j, i)), static_cast<uint32_t>(j), flight});
      }
      groups.push_back(group);
    }
    const Plan plan = *MakePlan(config, chips, context, 1, format, kv_cache);
    SessionSetup setup{OneStage(plan, std::move(groups)), timing, EngineKind::kFunctional};
    for (EngineKind kind : {EngineKind::kFunctional, EngineKind::kTiming}) {
      auto wiring = Wiring::Create(chips, wires, setup.timing.link_ticks);
      auto fabric = LocalFabric::Create(*wiring, 1);
      setup.engine = kind;
      fabrics.push_back(std::move(*fabric));
      auto session = Session::Create(setup, fabrics.back().get(), weights.get(), nullptr);
      EXPECT_TRUE(session.ok()) << session.status();
      sessions.push_back(session.ok() ? *std::move(session) : nullptr);
    }
  }
  bool ok() const { return sessions[0] != nullptr && sessions[1] != nullptr; }
  std::vector<float> Step(int token, int position) {
    for (int i : {1, 0}) {
      const auto logits = sessions[i]->Step(token, position);
      EXPECT_TRUE(logits.ok()) << logits.status();
      if (!logits.ok()) return {};
      if (i == 0) return *logits;
    }
    return {};
  }
  void ExpectSameDigest() { EXPECT_EQ(sessions[0]->TimingDigest(), sessions[1]->TimingDigest()); }

  std::unique_ptr<Checkpoint> weights;
  std::vector<std::unique_ptr<LocalFabric>> fabrics;
  std::vector<std::unique_ptr<Session>> sessions;
};

class ModelTest : public ::testing::TestWithParam<Case> {};

double Farthest(const std::vector<double>& a, const std::vector<double>& b) {
  double far = 0;
  for (size_t i = 0; i < a.size(); ++i) far = std::max(far, std::abs(a[i] - b[i]));
  return far;
}

TEST_P(ModelTest, LogitsAgreeWithDoublePrecision) {
  const Case& c = GetParam();
  const RandomModel model(ConfigOf(c), c.dtype, 11);
  TempFolder folder;
  model.WriteTo(folder);
  Node node(model.config, folder, c.chips, c.context, ChipTiming::Default(), NumberFormat::kFp16,
            c.kv_cache);
  ASSERT_TRUE(node.ok());
  ReferenceModel exact(model, 0, c.kv_cache);
  std::vector<ReferenceModel> moved;
  for (uint32_t seed = 1; seed <= 4; ++seed) moved.emplace_back(model, seed, c.kv_cache);
  std::mt19937 random(5);
  for (int t = 0; t < c.steps; ++t) {
    const int token = static_cast<int>(random() % c.vocab);
    const std::vector<float> got = node.Step(token, t);
    ASSERT_EQ(got.size(), static_cast<size_t>(c.vocab));
    const std::vector<double> want = exact.Step(token), logits(got.begin(), got.end());
    double rounding = 0;
    for (ReferenceModel& m : moved) rounding = std::max(rounding, Farthest(m.Step(token), want));
    ASSERT_LE(Farthest(logits, want), 3 * rounding) << "position " << t;
  }
  node.ExpectSameDigest();
}

INSTANTIATE_TEST_SUITE_P(Chips, ModelTest,
                         ::testing::Values(Case{1, 96, 192, 2, 6, 2, 16, 105, true, "F16", 40, 5},
                                           Case{2, 96, 191, 2, 6, 2, 16, 105, false, "BF16", 40, 5},
                                           Case{3, 96, 192, 2, 6, 2, 16, 105, true, "F32", 40, 5},
                                           Case{5, 96, 193, 2, 6, 2, 16, 105, false, "F16", 40, 5},
                                           Case{8, 96, 192, 2, 6, 2, 16, 105, true, "BF16", 40,
                                                5}));
INSTANTIATE_TEST_SUITE_P(Heads, ModelTest,
                         ::testing::Values(Case{8, 96, 171, 1, 6, 6, 16, 105, false, "F32", 20, 4},
                                           Case{8, 200, 33, 1, 8, 2, 8, 105, true, "F16", 20, 4},
                                           Case{8, 200, 700, 1, 9, 3, 24, 513, false, "BF16", 20,
                                                4},
                                           Case{8, 96, 64, 1, 4, 1, 80, 11, true, "F16", 20, 4},
                                           Case{3, 96, 64, 1, 7, 1, 2, 11, false, "F16", 20, 4},
                                           Case{1, 64, 64, 1, 16, 1, 4, 11, true, "F32", 20, 4},
                                           Case{2, 64, 64, 1, 6, 3, 160, 11, true, "F32", 20, 4},
                                           Case{5, 64, 64, 1, 12, 12, 64, 11, true, "F32", 20, 4}));
// Heads of several slots, more query heads of a KV head than a plane has accumulators, and both.
INSTANTIATE_TEST_SUITE_P(WideAndMany, ModelTest,
                         ::testing::Values(Case{1, 64, 64, 1, 3, 1, 162, 11, true, "F32", 20, 4},
                                           Case{2, 64, 64, 1, 6, 3, 256, 11, false, "F16", 20, 4},
                                           Case{3, 64, 33, 2, 7, 1, 322, 11, true, "F32", 20, 4},
                                           Case{1, 330, 64, 1, 4, 2, 512, 11, true, "BF16", 20, 4},
                                           Case{1, 64, 64, 1, 17, 1, 8, 11, true, "F32", 20, 4},
                                           Case{8, 64, 64, 1, 40, 2, 8, 11, true, "F32", 20, 4},
                                           Case{2, 96, 64, 1, 64, 1, 12, 11, false, "F16", 20, 4},
                                           Case{1, 64, 64, 1, 18, 1, 200, 11, true, "F32", 330,
                                                3}));
INSTANTIATE_TEST_SUITE_P(
    Sizes, ModelTest,
    ::testing::Values(Case{1, 8, 7, 1, 2, 1, 4, 11, true, "F32", 8, 8},
                      Case{8, 8, 1, 1, 1, 1, 2, 5, true, "F32", 8, 4},
                      Case{2, 330, 701, 2, 5, 5, 66, 513, false, "F16", 12, 4},
                      Case{1, 330, 1001, 1, 2, 1, 128, 700, true, "BF16", 12, 4},
                      Case{8, 700, 2600, 1, 8, 8, 40, 2700, false, "F16", 12, 2},
                      Case{1, 1300, 330, 1, 4, 2, 32, 350, true, "F16", 12, 2},
                      // So many words of few columns that partial sums travel as fp16.
                      Case{3, 1930, 40, 1, 3, 3, 16, 60, true, "F16", 8, 2}));
INSTANTIATE_TEST_SUITE_P(LongTexts, ModelTest,
                         ::testing::Values(Case{1, 16, 24, 1, 4, 2, 8, 17, true, "F32", 330, 330},
                                           Case{2, 24, 20, 2, 3, 1, 8, 17, false, "F16", 170,
                                                170}));

// Integers of the cache are those of the reference but where rounding tips one over a tie, which it
// does to the moved ones, too.
constexpr NumberFormat kInt8 = NumberFormat::kInt8;
INSTANTIATE_TEST_SUITE_P(
    Int8Cache, ModelTest,
    ::testing::Values(Case{1, 96, 192, 2, 6, 2, 16, 105, true, "F16", 40, 5, kInt8},
                      Case{8, 96, 192, 2, 6, 2, 16, 105, true, "BF16", 40, 5, kInt8},
                      Case{3, 330, 33, 2, 7, 1, 322, 11, true, "F32", 20, 4, kInt8},
                      Case{2, 96, 64, 1, 64, 1, 12, 11, false, "F16", 20, 4, kInt8},
                      Case{1, 1300, 330, 1, 4, 2, 32, 350, true, "F16", 12, 2, kInt8},
                      Case{1, 16, 24, 1, 4, 2, 8, 17, true, "F32", 330, 330, kInt8}));

// SRAM so full that matrices take words of the activation columns, heads lie end to end before o
// and a key and its value are one tile, as in Llama-2-70B on ten racks. Rows of the embedding fill
// the west, the cache fills the east. In the first case o and down of both layers have ends in one
// slot, in the last one partial sums travel as fp16.
const Case kShortOfRoom[] = {{2, 400, 2000, 2, 84, 42, 16, 15600, true, "F16", 3200, 3},
                             {2, 400, 2000, 2, 96, 48, 16, 15600, true, "F16", 3200, 3},
                             {3, 330, 1000, 1, 72, 36, 48, 23700, true, "F16", 3200, 2},
                             {2, 1930, 40, 1, 160, 80, 2, 60, true, "F16", 3200, 2},
                             {2, 400, 2000, 2, 84, 42, 16, 15600, true, "F16", 640, 3, kInt8}};
INSTANTIATE_TEST_SUITE_P(ShortOfRoom, ModelTest, ::testing::ValuesIn(kShortOfRoom));

TEST(ShortOfRoomTest, LayoutsAreThoseOfFullSram) {
  for (const Case& c : kShortOfRoom) {
    const ModelConfig m = ConfigOf(c);
    const Plan plan = *MakePlan(m, c.chips, c.context, 1, NumberFormat::kFp16, c.kv_cache);
    const Layout layout = LayOut(plan, WholeModel(m));
    EXPECT_TRUE(layout.fits.ok()) << layout.fits;
    for (const LayerMap& layer : layout.map.layers) {
      EXPECT_TRUE(layer.heads_end_to_end) << c;
      EXPECT_FALSE(layer.keys_values.parts.empty()) << c;
      EXPECT_TRUE(layer.k.parts.empty() && layer.v.parts.empty()) << c;
    }
  }
}

TEST(ShortOfRoomTest, EndsOfMatricesShareASlot) {
  const Case& c = kShortOfRoom[0];
  for (NumberFormat format : {NumberFormat::kFp16, NumberFormat::kInt8}) {
    const Plan plan = *MakePlan(ConfigOf(c), c.chips, c.context, 1, format);
    const std::vector<LayerMap> layers = LayOut(plan, WholeModel(plan.model)).map.layers;
    // A chip's 42 heads of 16 end with 32 columns of o, its 1000 rows of gate and up with 40 of
    // down, for which fp16 keeps 48 lanes and int8 64.
    const int down = format == NumberFormat::kInt8 ? 64 : 48;
    EXPECT_EQ(layers[0].heads_lane, 0);
    EXPECT_EQ(layers[0].ffn_lane, 32);
    EXPECT_EQ(layers[1].heads_lane, 32 + down);
    EXPECT_EQ(layers[1].ffn_lane, 64 + down);
    const auto last = [](const SplitMatrix& w, int part) {
      const Matrix& m = w.parts[part].matrix;
      return m.WordsOf(0, m.slots - 1)[0].address;
    };
    for (int part : {0, 1}) {
      for (const LayerMap& layer : layers) {
        EXPECT_EQ(last(layer.o, part), last(layers[0].o, part));
        EXPECT_EQ(last(layer.down, part), last(layers[0].o, part));
      }
    }
  }
}

// In int8 a longer context makes SRAM short, and nothing else: integers are the same ones.
TEST(ShortOfRoomTest, Int8GivesTheBitsThatItGivesWithPlentyOfRoom) {
  const Case c{2, 400, 2000, 2, 88, 44, 16, 600, true, "F16", 4000, 2};
  const RandomModel model(ConfigOf(c), c.dtype, 5);
  TempFolder folder;
  model.WriteTo(folder);
  std::vector<std::vector<float>> want;
  for (int context : {8, c.context}) {
    Plan plan = *MakePlan(model.config, c.chips, context, 1, NumberFormat::kInt8);
    const Layout layout = LayOut(plan, WholeModel(model.config));
    ASSERT_TRUE(layout.fits.ok()) << layout.fits;
    EXPECT_EQ(layout.map.layers[0].heads_end_to_end, context > 8) << c;
    Node node(model.config, folder, c.chips, context, ChipTiming::Default(), NumberFormat::kInt8);
    ASSERT_TRUE(node.ok());
    std::vector<std::vector<float>> got;
    for (int t = 0; t < 2; ++t) got.push_back(node.Step(7 * t + 3, t));
    if (context == 8) want = got;
    EXPECT_EQ(got, want) << c;
    node.ExpectSameDigest();
  }
}

TEST(ModelTextsTest, ASecondTextInOneSessionIsAsGoodAsTheFirst) {
  const RandomModel model(ConfigOf({2, 32, 48, 2, 4, 2, 8, 29, true, "F32", 12, 0}), "F32", 3);
  TempFolder folder;
  model.WriteTo(folder);
  Node node(model.config, folder, 2, 12);
  ASSERT_TRUE(node.ok());
  std::vector<std::vector<float>> first;
  for (int t = 0; t < 12; ++t) first.push_back(node.Step((t * 7 + 3) % 29, t));
  for (int t = 0; t < 12; ++t) node.Step((t * 5 + 1) % 29, t);
  for (int t = 0; t < 12; ++t) EXPECT_EQ(node.Step((t * 7 + 3) % 29, t), first[t]) << t;
}

TEST(ModelLatenciesTest, LogitsAreTheSameBitsWhateverTheLatencies) {
  const RandomModel model(ConfigOf({2, 330, 48, 1, 4, 2, 36, 350, true, "F16", 170, 0}), "F16", 3);
  TempFolder folder;
  model.WriteTo(folder);
  std::vector<ChipTiming> tables;
  std::vector<std::string> names = {"all", "all * 0.5", "all * 1.5", "all * 2"};
  for (int percent : {100, 50, 150, 200}) tables.push_back(ChipTiming::Default().Scaled(percent));
  for (const ChipTiming::Parameter& p : ChipTiming::Default().Parameters()) {
    if (!p.assumed || p.name == "receive_fifo") continue;
    const auto up = ChipTiming::Default().With(p.name, p.value + 3);
    const auto compiled = CompileChip(*MakePlan(model.config, 1, 8), WholeModel(model.config),
                                      kWholeStep, Group{1, 0, {-1}, 0}, *up);
    if (compiled.ok()) {
      tables.push_back(*up);
      names.emplace_back(p.name);
    }
  }
  ASSERT_GT(tables.size(), 20u);
  std::vector<float> want;
  for (size_t i = 0; i < tables.size(); ++i) {
    Node node(model.config, folder, 2, 170, tables[i]);
    ASSERT_TRUE(node.ok()) << names[i];
    if (node.Step(7, 0).empty()) {
      ADD_FAILURE() << names[i];
      continue;
    }
    const std::vector<float> got = node.Step(9, 1);
    if (i == 0) want = got;
    EXPECT_EQ(got, want) << names[i];
    node.ExpectSameDigest();
  }
}

}  // namespace
}  // namespace lockstep
