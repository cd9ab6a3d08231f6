// Texts of queues dispatch what they were made of, in its cycles.
#include "runtime/kernels/queue_writer.h"

#include <algorithm>
#include <random>
#include <tuple>
#include <vector>

#include "chip/geometry.h"
#include "chip/instructions.h"
#include "chip/program.h"
#include "chip/queue.h"
#include "gtest/gtest.h"

namespace lockstep {
namespace {

constexpr int kMem = MemQueue(5);

Block::Item Item(const Instruction& instr, int64_t first, int count = 1, int period = 1) {
  return {kMem, instr, first, count, period};
}

// Cycle, and instruction but for the mark of a pair.
using Dispatches = std::vector<std::tuple<int64_t, Opcode, int>>;

Dispatches Of(const Run& run) {
  Dispatches out;
  for (int64_t i = 0; i < run.count; ++i) {
    out.emplace_back(run.cycle(i), run.instr.op, InstructionAt(run, i).arg[0]);
  }
  return out;
}

Dispatches Sorted(Dispatches all) {
  std::sort(all.begin(), all.end());
  return all;
}

Dispatches Dispatched(const std::vector<Instruction>& text) {
  Program program;
  program.queues[kMem] = text;
  const DispatchResult result = Dispatch(program, ChipTiming::Default());
  EXPECT_FALSE(result.fault) << result.fault->ToString();
  Dispatches out;
  for (const Run& run : result.schedule.runs) {
    for (const auto& d : Of(run)) out.push_back(d);
  }
  return Sorted(out);
}

TEST(QueueWriterTest, AWriteWithinARunOfReadsMakesAPair) {
  const auto text = WriteQueue(kMem, {Item(ops::Read(1, 1, ops::East(0)), 0, 5),
                                      Item(ops::Write(kWordsPerBank, 0, ops::East(1)), 2)});
  Instruction write = ops::Write(kWordsPerBank, 0, ops::East(1));
  write.joined = true;
  const std::vector<Instruction> want = {
      ops::Read(1, 1, ops::East(0)), {Opcode::kRepeat, false, {1, 1}},
      ops::Read(3, 1, ops::East(0)), write,
      ops::Read(4, 1, ops::East(0)), {Opcode::kRepeat, false, {1, 1}}};
  EXPECT_EQ(text, want);
}

TEST(QueueWriterTest, PairsOfOnePeriodRepeat) {
  EXPECT_EQ(WriteQueue(kMem, {Item(ops::Read(1, 1, ops::East(0)), 8, 300, 4),
                              Item(ops::Write(kWordsPerBank, 1, ops::East(1)), 8, 200, 4)})
                .size(),
            1u + 3u + 1u + 2u);  // a gap, the pairs, a gap, the reads
}

// Runs one behind the other, with gaps.
std::vector<Block::Item> RandomRuns(std::mt19937& random, bool writes) {
  std::vector<Block::Item> out;
  int64_t at = random() % 5;
  for (int i = 0; i < 40; ++i) {
    const int address = static_cast<int>(random() % 3000), stride = static_cast<int>(random() % 2);
    const int count = 1 + static_cast<int>(random() % 12),
              period = 1 + static_cast<int>(random() % 5);
    out.push_back(Item(writes ? ops::Write(kWordsPerBank + address, stride, ops::East(1))
                              : ops::Read(address, stride, ops::East(0)),
                       at, count, period));
    at += int64_t{count - 1} * period + 1 + (random() % 3 == 0 ? random() % 20 : 0);
  }
  return out;
}

TEST(QueueWriterTest, AnyReadsAndWritesKeepTheirCycles) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    std::vector<Block::Item> items = RandomRuns(random, false);
    for (const Block::Item& item : RandomRuns(random, true)) items.push_back(item);
    std::shuffle(items.begin(), items.end(), random);
    Dispatches want;
    for (const Block::Item& item : items) {
      for (const auto& d : Of({item.instr, kMem, 0, item.first, item.count, item.period})) {
        want.push_back(d);
      }
    }
    EXPECT_EQ(Dispatched(WriteQueue(kMem, items)), Sorted(want)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace lockstep
