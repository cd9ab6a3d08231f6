// Shards of models that do not divide evenly: nothing is lost, nothing is held twice.
#include "runtime/compiler/plan.h"

#include <map>

#include "gtest/gtest.h"

namespace lockstep {
namespace {

ModelConfig Model(int heads, int kv_heads) {
  ModelConfig m;
  m.architecture = "LlamaForCausalLM";
  m.hidden_size = 96, m.intermediate_size = 191, m.layers = 2, m.head_dim = 16;
  m.heads = heads, m.kv_heads = kv_heads, m.vocab_size = 105, m.max_positions = 256;
  return m;
}

TEST(PlanTest, EveryQueryHeadIsOnOneChipNextToItsKeyHead) {
  for (int kv_heads : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16}) {
    for (int group : {1, 2, 3, 5, 8}) {
      for (int chips = 1; chips <= 8; ++chips) {
        const auto plan = MakePlan(Model(kv_heads * group, kv_heads), chips, 64);
        ASSERT_TRUE(plan.ok()) << plan.status();
        std::map<int, int> seen;
        for (int chip = 0; chip < chips; ++chip) {
          for (int slot = 0; slot < plan->kv_slots; ++slot) {
            const AttentionSlot s = plan->SlotOf(chip, slot);
            ASSERT_EQ(s.query_heads.size(), static_cast<size_t>(plan->queries_per_slot));
            for (int head : s.query_heads) {
              if (head < 0) continue;
              EXPECT_EQ(s.kv_head, head / group);
              ++seen[head];
            }
          }
        }
        EXPECT_EQ(seen.size(), static_cast<size_t>(kv_heads * group))
            << kv_heads << " x " << group << " on " << chips;
        for (const auto& [head, count] : seen) EXPECT_EQ(count, 1) << head;
      }
    }
  }
}

TEST(PlanTest, RowsOfMlpAndVocabularyFollowEachOtherFromChipToChip) {
  for (int chips = 1; chips <= 8; ++chips) {
    const auto plan = MakePlan(Model(6, 2), chips, 64);
    ASSERT_TRUE(plan.ok());
    int ffn = 0, vocab = 7;
    for (int chip = 0; chip < chips; ++chip) {
      EXPECT_EQ(plan->FfnOf(chip).begin, ffn);
      const Range rows = plan->ShardOf({7, 105}, chip);
      EXPECT_EQ(rows.begin, vocab);
      ffn = plan->FfnOf(chip).end, vocab = rows.end;
      EXPECT_LE(plan->FfnOf(chip).size(), plan->ffn_rows);
      EXPECT_LE(rows.size(), plan->ShardRows({7, 105}));
    }
    EXPECT_EQ(ffn, 191);
    EXPECT_EQ(vocab, 105);
  }
}

TEST(PlanTest, RefusesWhatCannotBePlannedAndSaysWhy) {
  const auto message = [](const ModelConfig& m, int chips, int context) {
    return std::string(MakePlan(m, chips, context).status().message());
  };
  EXPECT_NE(message(Model(6, 2), 9, 64).find("9 chips"), std::string::npos);
  EXPECT_NE(message(Model(6, 2), 0, 64).find("0 chips"), std::string::npos);
  EXPECT_NE(message(Model(6, 2), 1, 257).find("257"), std::string::npos);
  EXPECT_NE(message(Model(6, 2), 1, 0).find("0 positions"), std::string::npos);
  EXPECT_TRUE(MakePlan(Model(16, 1), 1, 256).ok());
}

TEST(PlanTest, DigestTellsPlansApart) {
  const auto plan = MakePlan(Model(6, 2), 4, 64);
  EXPECT_EQ(plan->Digest(), MakePlan(Model(6, 2), 4, 64)->Digest());
  EXPECT_NE(plan->Digest(), MakePlan(Model(6, 2), 4, 65)->Digest());
  EXPECT_NE(plan->Digest(), MakePlan(Model(6, 2), 3, 64)->Digest());
  EXPECT_NE(plan->Digest(), MakePlan(Model(6, 2), 4, 64, 1, NumberFormat::kInt8)->Digest());
  EXPECT_NE(plan->Digest(),
            MakePlan(Model(6, 2), 4, 64, 1, NumberFormat::kFp16, NumberFormat::kInt8)->Digest());
  EXPECT_NE(plan->Digest(), MakePlan(Model(6, 3), 4, 64)->Digest());
  for (auto change : {+[](ModelConfig& m) { m.rope.theta = 500000; },
                      +[](ModelConfig& m) { m.rope.original_max_positions = 8192; },
                      +[](ModelConfig& m) { m.rope.low_freq_factor = 2; },
                      +[](ModelConfig& m) { m.rope.high_freq_factor = 5; },
                      +[](ModelConfig& m) { m.rms_norm_eps = 1.0000001e-6; }}) {
    ModelConfig m = Model(6, 2);
    change(m);
    EXPECT_NE(plan->Digest(), MakePlan(m, 4, 64)->Digest());
  }
}

TEST(PlanTest, Int8SumsThatInt32MayNotHoldAreRefused) {
  ModelConfig m = Model(6, 2);
  m.intermediate_size = 3 * (kInt8SumTerms / kLanes * kLanes);
  EXPECT_TRUE(MakePlan(m, 3, 64, 1, NumberFormat::kInt8).ok());
  ++m.intermediate_size;
  const auto refused = MakePlan(m, 3, 64, 1, NumberFormat::kInt8);
  EXPECT_NE(refused.status().message().find("int8 products"), std::string::npos)
      << refused.status();
  EXPECT_TRUE(MakePlan(m, 3, 64).ok());
}

}  // namespace
}  // namespace lockstep
