// `lockstep run` as a user runs it, in one process: output, files, errors. Over MPI it is tested by
// tests/run_smoke.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/launcher/shell.h"
#include "tests/chip/test_folder.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Outcome LocalRun(const std::string& arguments) {
  return Shell(LOCKSTEP_BIN_DIR "/lockstep run --transport local " + arguments);
}

const char kModel[] = "--model " LOCKSTEP_SOURCE_DIR "/models/story ";
const char kStory[] = "--model " LOCKSTEP_SOURCE_DIR
                      "/models/story --topology groqnode --prompt 'Nora was' --tokens 4 ";

class RunCommandTest : public WithFolder {
 protected:
  std::string File(const char* name) const { return folder_.File(name); }
  std::string Read(const char* name) const {
    std::ifstream in(File(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  nlohmann::json Json(const char* name) const {
    return nlohmann::json::parse(Read(name), nullptr, false);
  }
};

TEST_F(RunCommandTest, PrintsTextThenATable) {
  const Outcome run = LocalRun(kStory);
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.output, StartsWith("Nora was"));
  for (const char* row : {"first token", "tokens/s/user", "weight streams", "digests"}) {
    EXPECT_THAT(run.output, HasSubstr(row));
  }
}

TEST_F(RunCommandTest, LinksAreALineEachAndAddUpToTheReport) {
  const Outcome run = LocalRun(std::string(kStory) + "--engine timing --report " + File("r.json") +
                               " --links " + File("l.csv"));
  ASSERT_EQ(run.exit_code, 0) << run.output;
  std::ifstream in(File("l.csv"));
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(line, "from,port,to,vectors,busy_share");
  int links = 0;
  long vectors = 0;
  while (std::getline(in, line)) {
    int from, port, to, carried;
    ASSERT_EQ(std::sscanf(line.c_str(), "%d,%d,%d,%d,", &from, &port, &to, &carried), 4) << line;
    ++links, vectors += carried;
  }
  EXPECT_EQ(links, 8 * 7);
  EXPECT_EQ(vectors, 8 * Json("r.json")["emulated"]["vectors_sent_per_token_and_chip"].get<int>());
}

TEST_F(RunCommandTest, QuietPrintsTextAlone) {
  const Outcome run = LocalRun(std::string(kStory) + "--quiet");
  EXPECT_THAT(run.output, StartsWith("Nora was"));
  EXPECT_THAT(run.output, Not(HasSubstr("digests")));
}

TEST_F(RunCommandTest, ThreadsChangeNothingButTheHostPartOfTheReport) {
  ASSERT_EQ(LocalRun(std::string(kStory) + "--report " + File("a")).exit_code, 0);
  ASSERT_EQ(LocalRun(std::string(kStory) + "--threads 2 --report " + File("b")).exit_code, 0);
  nlohmann::json a = Json("a"), b = Json("b");
  ASSERT_FALSE(a.is_discarded());
  EXPECT_NE(a["host"]["threads"], b["host"]["threads"]);
  a.erase("host"), b.erase("host");
  EXPECT_EQ(a, b);
}

TEST_F(RunCommandTest, BothEnginesHaveOneTimingDigest) {
  ASSERT_EQ(LocalRun(std::string(kStory) + "--ignore-eos --report " + File("a")).exit_code, 0);
  ASSERT_EQ(LocalRun(std::string(kStory) + "--engine timing --report " + File("b")).exit_code, 0);
  const nlohmann::json a = Json("a"), b = Json("b");
  EXPECT_EQ(a["emulated"], b["emulated"]);
  EXPECT_EQ(a["output"]["timing_digest"], b["output"]["timing_digest"]);
}

TEST_F(RunCommandTest, EveryPartOfANodeGivesTheSameIds) {
  nlohmann::json ids;
  for (int chips = 1; chips <= 8; ++chips) {
    const std::string n = std::to_string(chips);
    ASSERT_EQ(LocalRun(kStory + ("--chips " + n) + " --report " + File("r")).exit_code, 0) << chips;
    const nlohmann::json report = Json("r");
    EXPECT_EQ(report["machine"]["chips"], chips);
    if (chips == 1) ids = report["output"]["ids"];
    EXPECT_EQ(report["output"]["ids"], ids) << chips;
  }
}

TEST_F(RunCommandTest, LogitsHaveARowForEveryPositionThatWasRun) {
  const Outcome run = LocalRun(std::string(kModel) +
                          "--topology groqnode --prompt-ids 1,5,9 --tokens 4 --ignore-eos "
                          "--logits " + File("l"));
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_EQ(Read("l").size(), (3 + 4 - 1) * 512 * sizeof(float));  // the vocabulary has 512 ids
}

TEST_F(RunCommandTest, ASeedRepeatsItsText) {
  const std::string sampled = std::string(kStory) + "--quiet --temperature 1.5 --seed ";
  EXPECT_EQ(LocalRun(sampled + "3").output, LocalRun(sampled + "3").output);
}

TEST_F(RunCommandTest, APipelineOfNodesGivesTheLogitsOfOne) {
  const std::string on = std::string(kModel) + "--topology groqrack --prompt-ids 1,5 --tokens 3 ";
  std::string logits;
  for (int nodes = 1; nodes <= 3; ++nodes) {
    ASSERT_EQ(LocalRun(on + "--nodes " + std::to_string(nodes) + " --report " + File("r") +
                       " --timeline " + File("t") + " --logits " + File("l")).exit_code, 0);
    EXPECT_EQ(Json("r")["machine"]["stages"], nodes);
    EXPECT_EQ(Json("r")["machine"]["chips"], 8 * nodes);
    EXPECT_FALSE(Json("t").is_discarded());
    if (nodes == 1) logits = Read("l");
    EXPECT_EQ(Read("l"), logits) << nodes;
  }
}

TEST_F(RunCommandTest, SequencesInFlightAllGiveTheTextOfOne) {
  const std::string on = std::string(kModel) +
                         "--topology groqrack --prompt-ids 1,5 --tokens 6 --nodes 2 ";
  ASSERT_EQ(LocalRun(on + "--report " + File("one")).exit_code, 0);
  ASSERT_EQ(LocalRun(on + "--sequences 3 --report " + File("all")).exit_code, 0);
  const nlohmann::json one = Json("one"), all = Json("all");
  ASSERT_EQ(all["output"]["ids_of_all_sequences"].size(), 3u);
  for (const auto& ids : all["output"]["ids_of_all_sequences"]) {
    EXPECT_EQ(ids, one["output"]["ids"]);
  }
  EXPECT_EQ(all["emulated"]["cycles_per_token"], one["emulated"]["cycles_per_token"]);
  EXPECT_GT(all["emulated"]["tokens_per_second"].get<double>(),
            2 * one["emulated"]["tokens_per_second"].get<double>());
}

TEST_F(RunCommandTest, SequencesWhosePromptsGoInBatchesGiveTheBitsOfOneByOne) {
  const std::string on = std::string(kModel) + "--topology groqrack --sequences 3 --nodes 2 "
                         "--prompt-ids 1,5,9,13,2,6,10,14,3,7 --tokens 4 --temperature 1 ";
  const auto run = [&](const std::string& more) {
    EXPECT_EQ(LocalRun(on + more + "--report " + File("r") + " --table " + File("t")).exit_code, 0);
    return Json("r");
  };
  const nlohmann::json one = run("--prefill-batch 1 --logits " + File("one") + " ");
  const nlohmann::json many = run("");  // 8, the most that the prompt fills
  EXPECT_THAT(Read("t"), HasSubstr("prompt: 1 batch of 8, 2 steps"));
  EXPECT_EQ(many["emulated"]["prefill_batch"], 8);
  EXPECT_EQ(many["output"]["ids_of_all_sequences"], one["output"]["ids_of_all_sequences"]);
  EXPECT_EQ(many["output"]["value_digest"], one["output"]["value_digest"]);
  EXPECT_LT(many["emulated"]["first_token_us"], one["emulated"]["first_token_us"]);
  EXPECT_EQ(many["emulated"]["us_per_token"], one["emulated"]["us_per_token"]);
  run("--prefill-batch 4 --logits " + File("many") + " ");
  EXPECT_EQ(Read("many"), Read("one"));
  EXPECT_EQ(Read("one").size(), 13 * 3 * 512 * sizeof(float)) << "a row a position and sequence";
}

TEST_F(RunCommandTest, StagesVisitedInTurnGiveTheDigestsOfAPromptInFlight) {
  const std::string on = std::string(kModel) + "--topology groqrack --nodes 3 --tokens 2 "
                         "--prompt-ids 1,5,9,13,2,6,10,14,3 --report " + File("r") + " ";
  for (const char* steps : {"--prompt-flight 8", "--prompt-flight 8 --prefill-batch 4",
                            "--sequences 2 --prompt-flight 8"}) {
    ASSERT_EQ(LocalRun(on + steps).exit_code, 0);
    const nlohmann::json all = Json("r");
    const int64_t stage = 8 * all["plan"]["sram_bytes_per_chip"]["used"].get<int64_t>();
    ASSERT_EQ(LocalRun(on + steps + " --sram-limit " + std::to_string(stage)).exit_code, 0);
    EXPECT_EQ(Json("r")["output"], all["output"]) << steps;
    EXPECT_EQ(Json("r")["emulated"], all["emulated"]) << steps;
  }
}

TEST_F(RunCommandTest, LogitsOfAPromptInFlightAreThoseOfItsIdsOneByOne) {
  const std::string on = std::string(kModel) +
                         "--topology groqrack --nodes 3 --tokens 2 "
                         "--prompt-ids 1,5,9,13,2,6,10,14,3 --sequences 2 --report " +
                         File("r") + " --logits ";
  ASSERT_EQ(LocalRun(on + File("one") + " --prefill-batch 1").exit_code, 0);
  const std::string value = Json("r")["output"]["value_digest"];
  const int64_t stage = 8 * Json("r")["plan"]["sram_bytes_per_chip"]["used"].get<int64_t>();
  ASSERT_EQ(Read("one").size(), 10 * 2 * 512 * sizeof(float));
  for (const std::string& how : {std::string("--prefill-batch 1"), std::string("--prefill-batch 4"),
                                 "--sram-limit " + std::to_string(2 * stage)}) {
    ASSERT_EQ(LocalRun(on + File("many") + " --prompt-flight 8 " + how).exit_code, 0) << how;
    EXPECT_EQ(Read("many"), Read("one")) << how;
    EXPECT_EQ(Json("r")["output"]["value_digest"], value) << how;
  }
}

TEST_F(RunCommandTest, TheCyclesOfATokenAreSharedOut) {
  ASSERT_EQ(LocalRun(std::string(kModel) + "--topology groqrack --prompt-ids 1 --tokens 1 "
                     "--nodes 3 --report " + File("r")).exit_code, 0);
  const nlohmann::json emulated = Json("r")["emulated"];
  int64_t sum = 0;
  for (const auto& cycles : emulated["cycles_by_work"]) sum += cycles.get<int64_t>();
  EXPECT_EQ(sum, emulated["cycles_per_token"].get<int64_t>());
  EXPECT_GT(emulated["cycles_by_work"]["links"].get<int64_t>(), 0);
  EXPECT_EQ(emulated["programs"].size(), 3u);
  EXPECT_EQ(emulated["programs"][2]["end_cycle"], emulated["cycles_per_token"]);
}

TEST_F(RunCommandTest, TheSumOfSramUseIsWhatIsUsed) {
  ASSERT_EQ(LocalRun(std::string(kStory) + "--report " + File("r")).exit_code, 0);
  const nlohmann::json sram = Json("r")["plan"]["sram_bytes_per_chip"];
  EXPECT_EQ(sram["capacity"], 230'686'720);
  int64_t sum = 0;
  for (const char* use : {"layers", "embedding", "head", "kv_cache", "tables", "activations"}) {
    EXPECT_GT(sram[use].get<int64_t>(), 0) << use;
    sum += sram[use].get<int64_t>();
  }
  EXPECT_EQ(sram["used"].get<int64_t>(), sum);
}

TEST_F(RunCommandTest, ATimelineOfPositionsInFlightReachesFromTheFirstToTheLast) {
  const std::string on = std::string(kModel) + "--topology groqrack --nodes 2 --chips 2 "
                         "--tokens 1 --prompt-ids 1,5,9,13 --prompt-flight 4 --prefill-batch 1 ";
  ASSERT_EQ(LocalRun(on + "--timeline " + File("t") + " --report " + File("r")).exit_code, 0);
  const nlohmann::json trace = Json("t");
  int64_t end = 0;
  for (const nlohmann::json& e : trace["traceEvents"]) {
    if (e["ph"] == "X") end = std::max(end, e["ts"].get<int64_t>() + e["dur"].get<int64_t>());
  }
  const int64_t flight = Json("r")["emulated"]["cycles_per_batch"];
  EXPECT_LE(end, flight);
  EXPECT_GT(end, flight - Json("r")["emulated"]["cycles_between_positions"].get<int64_t>());
  const Outcome many = LocalRun(std::string(kModel) + "--topology groqrack --nodes 3 --tokens 1 "
                                "--prompt-ids 1,5,9,2,3,4,6,7 --prompt-flight 8 --prefill-batch 1 "
                                "--timeline " + File("t"));
  EXPECT_EQ(many.exit_code, 1);
  EXPECT_THAT(many.output, HasSubstr("24 chips for each of 8 steps in flight; of at most 128"));
}

TEST_F(RunCommandTest, TheTimelineHasEightChipsAndFlowsInPairs) {
  ASSERT_EQ(LocalRun(std::string(kStory) + "--timeline " + File("t")).exit_code, 0);
  std::set<int> chips;
  std::map<int64_t, int> ends;
  const nlohmann::json trace = Json("t");
  for (const auto& e : trace["traceEvents"]) {
    chips.insert(e["pid"].get<int>());
    if (e["ph"] == "s") ends[e["id"]] += 1;
    if (e["ph"] == "f") ends[e["id"]] += 2;
  }
  EXPECT_EQ(chips.size(), 8u);
  EXPECT_FALSE(ends.empty());
  for (const auto& [id, both] : ends) EXPECT_EQ(both, 3) << id;
}

TEST_F(RunCommandTest, AFullDiskForTheReportIsAnError) {
  const Outcome run = LocalRun(std::string(kStory) + "--report /dev/full");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output, HasSubstr("lockstep: cannot write /dev/full: No space left on device"));
}

TEST_F(RunCommandTest, FailedRunsLeaveNoFiles) {
  const Outcome run = LocalRun(std::string(kStory) + "--logits /dev/full --report " + File("r"));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(RunCommandTest, ATruncatedCheckpointIsAnError) {
  fs::copy(LOCKSTEP_SOURCE_DIR "/models/story", folder_.path() / "m", fs::copy_options::recursive);
  fs::permissions(folder_.path() / "m" / "model.safetensors", fs::perms::owner_all);
  fs::resize_file(folder_.path() / "m" / "model.safetensors", 10'000);
  const std::string model = "--model " + File("m");
  const Outcome run = LocalRun(model + " --topology groqnode --prompt a --tokens 2");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output, HasSubstr("model.safetensors"));
}

TEST_F(RunCommandTest, ErrorsOfTheWorldAreOneLineAndExitCode1) {
  const std::pair<std::string, const char*> cases[] = {
      {"--model /nosuch --topology groqnode --prompt a --tokens 1", "/nosuch: no such folder"},
      {std::string(kModel) + "--topology nosuch --prompt a --tokens 1", "unknown topology"},
      {std::string(kModel) + "--topology groqcard --chips 8 --prompt a --tokens 1",
       "--chips 8: topology groqcard has 1"},
      {std::string(kModel) + "--topology groqrack --chips 9 --prompt a --tokens 1", "one node"},
      {std::string(kModel) + "--topology ring4 --prompt a --tokens 1", "no link from chip0"},
      {std::string(kModel) + "--topology groqnode --prompt a --tokens 999", "context of"},
      {std::string(kModel) + "--topology groqnode --prompt-ids 512 --tokens 1", "prompt id 512"},
      {std::string(kStory) + "--set nosuch=1", "--set nosuch=1"},
  };
  for (const auto& [arguments, says] : cases) {
    const Outcome run = LocalRun(arguments);
    EXPECT_EQ(run.exit_code, 1) << arguments;
    EXPECT_THAT(run.output, StartsWith("lockstep: ")) << arguments;
    EXPECT_THAT(run.output, HasSubstr(says)) << arguments;
  }
}

TEST_F(RunCommandTest, WrongUsageIsExitCode2) {
  for (const char* more : {"--tokens x", "--hop-latency D", "--seed 1", "--prompt-ids 1",
                           "--chips-per-rank 2", "--engine timing --logits f", "--nosuch"}) {
    EXPECT_EQ(LocalRun(std::string(kStory) + more).exit_code, 2) << more;
  }
  EXPECT_EQ(LocalRun("--help").exit_code, 0);
}

TEST_F(RunCommandTest, AChipStartedByHandSaysHowManyRanksItNeeds) {
  const Outcome run = Shell(std::string(LOCKSTEP_BIN_DIR "/lockstep-chip ") + kStory);
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output, ContainsRegex("start it as `mpirun .*-n 8 .*lockstep-chip"));
}

}  // namespace
}  // namespace lockstep
