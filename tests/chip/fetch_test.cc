// A queue that fetches its text: legal where SRAM holds that very text, a Fault where it does not.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "chip/binary.h"
#include "chip/timing.h"
#include "tests/chip/functional_fixture.h"

namespace lockstep {
namespace {

constexpr int kQueue = VxmQueue(3), kStream = 0, kFetchAt = 20;
constexpr int kPreloaded = kQueueBytes / kInstructionBytes;  // 80

class FetchTest : public FunctionalTest {
 protected:
  // vxm3 has 20 instructions more than are preloaded and fetches once, in cycle 20: of the 40 that
  // come the last 20 are zeros. mem0's words 0 and 1 reach the VXM in cycles 20 and 21.
  void SetUp() override {
    std::vector<Instruction>& text = program.queues[kQueue];
    text.push_back(Op(Opcode::kNop, {kFetchAt}));
    text.push_back(Op(Opcode::kIfetch, {E(kStream)}));
    while (text.size() < kPreloaded + 20) text.push_back(Op(Opcode::kConfig, {20}));
    text.back() = Op(Opcode::kAdd, {kTypeI8, 0, E(kStream), kNoStream, 1, E(1)});
    program.queues[MemQueue(0)] = {
        Op(Opcode::kNop, {kFetchAt - 1 - OpCycles(Opcode::kRead)}),
        Op(Opcode::kRead, {0, 1, E(kStream)}), Op(Opcode::kRepeat, {1, 1})};
    program.queues[MemQueue(1)] = {  // the operand of the last instruction, in cycle 20 + 99 - 1
        Op(Opcode::kNop, {118 - 1 - OpCycles(Opcode::kRead)}),
        Op(Opcode::kRead, {0, 0, E(kStream)})};
    program.fetched = true;
  }

  // The 640 B that the ifetch must bring, in words 0 and 1 of slice 0.
  void StoreText() {
    std::vector<uint8_t> bytes;
    for (size_t i = kPreloaded; i < program.queues[kQueue].size(); ++i) {
      const InstructionCode code = EncodeInstruction(program.queues[kQueue][i]);
      bytes.insert(bytes.end(), code.begin(), code.end());
    }
    bytes.resize(kFetchBytes);
    for (int word = 0; word < 2; ++word) {
      Vector v;
      std::copy_n(bytes.begin() + word * kVectorBytes, kVectorBytes, v.bytes.begin());
      engine.sram().Store(0, word, v);
    }
  }
  void Flip(int word, int byte) {
    Vector v = engine.sram().Load(0, word);
    v.bytes[byte] ^= 1;
    engine.sram().Store(0, word, v);
  }

  std::shared_ptr<const Schedule> Scheduled() const {
    DispatchResult result = Dispatch(program, ChipTiming::Default());
    LOCKSTEP_CHECK(!result.fault.has_value(), "%s", result.fault->ToString());
    return std::make_shared<const Schedule>(std::move(result.schedule));
  }
  EngineState Execute() {
    engine.Start(Scheduled());
    return engine.Run(links);
  }
  void ExpectQueueEmpty(int64_t cycle, const std::string& detail) {
    ASSERT_EQ(Execute(), EngineState::kFault);
    EXPECT_EQ(engine.fault().kind, FaultKind::kQueueEmpty);
    EXPECT_EQ(engine.fault().queue, kQueue);
    EXPECT_EQ(engine.fault().cycle, cycle);
    EXPECT_EQ(engine.fault().detail, detail);
  }

  Program program;
};

TEST_F(FetchTest, TextFromSramDispatches) {
  StoreText();
  ASSERT_EQ(Execute(), EngineState::kDone) << engine.fault().ToString();
  TimingEngine timing(5, ChipTiming::Default());
  timing.Start(Scheduled());
  ASSERT_EQ(timing.Run(links), EngineState::kDone);
  EXPECT_EQ(timing.timing_digest(), engine.timing_digest());
}

TEST_F(FetchTest, EveryExecutionFetchesAnew) {
  StoreText();
  ASSERT_EQ(Execute(), EngineState::kDone);
  ASSERT_EQ(Execute(), EngineState::kDone);
}

TEST_F(FetchTest, OneByteOfTheFirstVectorThatDiffersIsAFault) {
  StoreText();
  Flip(0, 5);  // 1280 + 5; instruction 80 is a config, of which byte 5 is 0
  ExpectQueueEmpty(kFetchAt, "byte 1285 of the queue's text is 0x00, fetched was 0x01");
}

TEST_F(FetchTest, OneByteOfTheSecondVectorThatDiffersIsAFaultOneCycleLater) {
  StoreText();
  Flip(1, 319);  // the last of 640, beyond the end of the text
  ExpectQueueEmpty(kFetchAt + 1, "byte 1919 of the queue's text is 0x00, fetched was 0x01");
}

TEST_F(FetchTest, TextThatIsNotInSramIsAFault) {
  const InstructionCode code = EncodeInstruction(program.queues[kQueue][kPreloaded]);
  ASSERT_NE(code[0], 0);
  ExpectQueueEmpty(kFetchAt, absl::StrFormat("byte 1280 of the queue's text is 0x%02x, fetched "
                                             "was 0x00", code[0]));
}

TEST_F(FetchTest, ASecondVectorThatNeverCameIsAnEmptyStream) {
  StoreText();
  program.queues[MemQueue(0)].pop_back();  // only one vector is read
  ASSERT_EQ(Execute(), EngineState::kFault);
  EXPECT_EQ(engine.fault().kind, FaultKind::kStreamEmpty);
  EXPECT_EQ(engine.fault().cycle, kFetchAt + 1);
}

TEST_F(FetchTest, OnlyQueuesThatFetchCarryTheirText) {
  const std::shared_ptr<const Schedule> schedule = Scheduled();
  ASSERT_EQ(schedule->texts.size(), 1u);
  EXPECT_EQ(schedule->texts[0].queue, kQueue);
  EXPECT_EQ(schedule->texts[0].bytes.size(), 100u * kInstructionBytes);
  program.fetched = false;
  EXPECT_TRUE(Scheduled()->texts.empty());
}

TEST_F(FetchTest, WithoutFetchedTextAnIfetchOnlyTakesItsVectors) {
  program.fetched = false;  // and nothing like the text is in SRAM
  EXPECT_EQ(Execute(), EngineState::kDone);
}

}  // namespace
}  // namespace lockstep
