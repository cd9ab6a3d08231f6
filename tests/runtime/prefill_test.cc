// Batches of a prompt give the bits of its tokens one by one, on one chip and on several.
#include "runtime/compiler/prefill.h"

#include "runtime/compiler/image.h"
#include "tests/runtime/one_chip.h"
#include "tests/runtime/random_model.h"

namespace lockstep {
namespace {

ModelConfig Model(int hidden, int ffn, int heads, int kv_heads, int head_dim, int vocab) {
  ModelConfig m;
  m.architecture = "LlamaForCausalLM";
  m.hidden_size = hidden, m.intermediate_size = ffn, m.layers = 2, m.head_dim = head_dim;
  m.heads = heads, m.kv_heads = kv_heads, m.vocab_size = vocab, m.max_positions = 4096;
  m.rms_norm_eps = 1e-5, m.tie_word_embeddings = true;
  return m;
}

// One chip that holds a whole model, with the programs for one position and for a batch.
class Chip {
 public:
  Chip(const RandomModel& model, int context, int batch, bool all_logits,
       NumberFormat kv_cache = NumberFormat::kFp16, NumberFormat weights = NumberFormat::kFp16)
      : plan(*MakePlan(model.config, 1, context, 1, weights, kv_cache)),
        stage(WholeModel(model.config)),
        engine(0, timing, nullptr, Sram::Pages::kSmall),
        check(0, timing),
        memory(engine.sram()) {
    plan.batch = batch, plan.all_logits = all_logits;
    TempFolder folder;
    model.WriteTo(folder);
    const auto one = CompileChip(plan, stage, kWholeStep, group, timing);
    const auto many = CompilePrefill(plan, stage, kWholeStep, group, timing);
    EXPECT_TRUE(one.ok()) << one.status();
    EXPECT_TRUE(many.ok()) << many.status();
    for (const CompiledChip& compiled : {*one, *many}) {
      logits.push_back(compiled.logits);
      streamed.push_back(compiled.weight_stream_bytes);
      DispatchResult dispatched = Dispatch(compiled.program, timing);
      EXPECT_FALSE(dispatched.fault) << dispatched.fault->ToString();
      schedules.push_back(std::make_shared<const Schedule>(std::move(dispatched.schedule)));
    }
    map = one->layout.map;
    const auto checkpoint = Checkpoint::Open(folder.path());
    EXPECT_TRUE(WriteModel(plan, stage, 0, map, *checkpoint, memory).ok());
  }

  // Logits of the positions that have some.
  std::vector<std::vector<float>> Step(std::span<const int> tokens, int position) {
    const int which = tokens.size() > 1 ? 1 : 0;
    WriteStep(plan, stage, 0, map, tokens, position, memory);
    NoLinks links;
    for (Engine* e : std::initializer_list<Engine*>{&engine, &check}) {
      e->Start(schedules[which]);
      EXPECT_EQ(e->Run(links), EngineState::kDone) << e->fault().ToString();
    }
    EXPECT_EQ(engine.timing_digest(), check.timing_digest());
    const size_t rows = which == 1 && plan.all_logits ? tokens.size() : 1;
    const size_t parts = logits[which].size() / rows;
    std::vector<std::vector<float>> out;
    for (size_t i = 0; i < rows; ++i) {
      out.push_back(
          ReadLogits(plan, stage, 0, std::span(logits[which]).subspan(i * parts, parts), memory));
    }
    return out;
  }

  const ChipTiming timing = ChipTiming::Default();
  const Group group{1, 0, {-1}, 0};
  Plan plan;
  const StageShape stage;
  ModelMap map;
  FunctionalEngine engine;
  TimingEngine check;
  EngineMemory memory;
  std::vector<std::vector<Segment32>> logits;  // of one position, of a batch
  std::vector<int64_t> streamed;
  std::vector<std::shared_ptr<const Schedule>> schedules;
};

struct Case {
  ModelConfig config;
  int batch, count;
  bool all_logits;
  NumberFormat kv_cache = NumberFormat::kFp16, weights = NumberFormat::kFp16;
};
std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.count << " positions by " << c.batch << ", " << c.config.heads << "/"
             << c.config.kv_heads << " heads of " << c.config.head_dim << ", cache in "
             << NumberFormatName(c.kv_cache) << ", weights in " << NumberFormatName(c.weights);
}

class PrefillTest : public ::testing::TestWithParam<Case> {};

TEST_P(PrefillTest, GivesTheBitsOfSinglePositions) {
  const Case& c = GetParam();
  const RandomModel model(c.config, "F16", 5);
  std::vector<int> tokens;
  std::mt19937 random(3);
  for (int i = 0; i < c.count; ++i)
    tokens.push_back(static_cast<int>(random() % c.config.vocab_size));
  Chip one(model, c.count, c.batch, c.all_logits, c.kv_cache, c.weights);
  Chip many(model, c.count, c.batch, c.all_logits, c.kv_cache, c.weights);
  std::vector<std::vector<float>> want;
  for (int t = 0; t < c.count; ++t) want.push_back(one.Step(std::span(tokens).subspan(t, 1), t)[0]);
  // Whole batches, then single positions, which read the cache that the batches wrote.
  int t = 0;
  for (; t + c.batch <= c.count; t += c.batch) {
    const auto got = many.Step(std::span(tokens).subspan(t, c.batch), t);
    ASSERT_EQ(got.size(), c.all_logits ? c.batch : 1u);
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[got.size() - 1 - i], want[t + c.batch - 1 - i]) << "batch at " << t;
    }
  }
  for (; t < c.count; ++t) {
    ASSERT_EQ(many.Step(std::span(tokens).subspan(t, 1), t)[0], want[t]) << "position " << t;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, PrefillTest,
                         ::testing::Values(Case{Model(96, 192, 6, 2, 16, 105), 16, 35, true},
                                           Case{Model(96, 192, 6, 2, 16, 105), 8, 19, false},
                                           Case{Model(330, 701, 3, 3, 48, 350), 4, 9, true},
                                           Case{Model(700, 330, 4, 1, 200, 105), 16, 18, true},
                                           Case{Model(64, 64, 18, 1, 8, 11), 2, 5, false},
                                           // Enough words for norms to be streamed.
                                           Case{Model(1300, 330, 4, 2, 32, 105), 16, 18, false},
                                           Case{Model(40, 64, 2, 1, 8, 11), 16, 335, false}));
constexpr NumberFormat kFp16 = NumberFormat::kFp16, kInt8 = NumberFormat::kInt8;
INSTANTIATE_TEST_SUITE_P(Int8Cache, PrefillTest,
                         ::testing::Values(Case{Model(96, 192, 6, 2, 16, 105), 8, 19, true, kInt8},
                                           Case{Model(330, 701, 3, 3, 48, 350), 4, 9, true, kInt8},
                                           Case{Model(70, 33, 4, 1, 200, 105), 16, 18, true, kInt8},
                                           Case{Model(64, 64, 18, 1, 8, 11), 2, 5, false, kInt8},
                                           Case{Model(40, 64, 2, 1, 8, 11), 16, 335, false,
                                                kInt8}));

// Heads end to end or packed by halves, vectors of one and of many words, which come in groups.
INSTANTIATE_TEST_SUITE_P(
    Int8Weights, PrefillTest,
    ::testing::Values(Case{Model(96, 192, 6, 2, 16, 105), 16, 35, true, kFp16, kInt8},
                      Case{Model(96, 192, 6, 2, 16, 105), 8, 19, false, kInt8, kInt8},
                      Case{Model(330, 701, 3, 3, 48, 350), 4, 9, true, kFp16, kInt8},
                      Case{Model(700, 330, 4, 1, 200, 105), 16, 18, true, kInt8, kInt8},
                      Case{Model(64, 64, 18, 1, 8, 11), 2, 5, false, kFp16, kInt8},
                      Case{Model(1300, 1700, 4, 2, 32, 105), 16, 18, false, kFp16, kInt8},
                      Case{Model(2600, 330, 7, 7, 40, 105), 8, 10, true, kFp16, kInt8},
                      Case{Model(40, 64, 2, 1, 8, 11), 16, 335, false, kFp16, kInt8}));

// Weights in the columns of activations, keys beside values, heads end to end, ends in shared slots.
TEST(PrefillDenseTest, GivesTheBitsOfSinglePositionsWhereSramIsFull) {
  for (const auto& [weights, vocabulary, ffn] :
       {std::tuple{kFp16, 7800, 1000}, std::tuple{kInt8, 7800, 2000}}) {
    const RandomModel model(Model(400, ffn, 42, 21, 16, vocabulary), "F16", 5);
    const int tokens[] = {7, 1, 4000, 33, 5, 6, vocabulary - 1};
    Chip one(model, 3200, 2, false, kFp16, weights), many(model, 3200, 2, false, kFp16, weights);
    for (const LayerMap& layer : many.map.layers) {
      ASSERT_TRUE(layer.heads_end_to_end && !layer.keys_values.parts.empty());
      ASSERT_FALSE(layer.down.parts.front().matrix.strips.empty());
    }
    ASSERT_GT(many.map.layers[1].heads_lane, 0);
    std::vector<std::vector<float>> want;
    for (int t = 0; t < 5; ++t) want.push_back(one.Step(std::span(tokens).subspan(t, 1), t)[0]);
    EXPECT_EQ(many.Step(std::span(tokens).subspan(0, 2), 0)[0], want[1]);
    EXPECT_EQ(many.Step(std::span(tokens).subspan(2, 2), 2)[0], want[3]);
    EXPECT_EQ(many.Step(std::span(tokens).subspan(4, 1), 4)[0], want[4]);
  }
}

TEST(PrefillProgramTest, StreamsTheWeightsOfLargeMatricesOnceABatch) {
  const RandomModel model(Model(1300, 1700, 4, 2, 64, 105), "F16", 5);
  for (NumberFormat weights : {kFp16, kInt8}) {
    Chip chip(model, 32, 16, true, kFp16, weights);
    EXPECT_LE(chip.streamed[1], chip.streamed[0] + chip.streamed[0] / 10);
    EXPECT_LT(chip.schedules[1]->end, 8 * chip.schedules[0]->end);
  }
}

}  // namespace
}  // namespace lockstep
