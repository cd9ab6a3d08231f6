// Random short programs on the functional engine and on a slow obvious model, in which bytes are
// shifted one position a cycle. Programs are drawn while the model runs, so that most operands
// exist; now and then a rule is broken, and both must name the same fault.
#include <optional>
#include <vector>

#include "chip/numerics.h"
#include "tests/chip/functional_fixture.h"

namespace lockstep {
namespace {

class ShiftingModel {
 public:
  explicit ShiftingModel(uint32_t seed) : random_(seed), sram_(kSlices) {
    for (auto& slice : sram_) slice.resize(kWords);
  }

  struct Broken {
    FaultKind kind;
    int64_t cycle;
    int queue;
  };

  // Draws and executes `cycles` cycles; stops at the first broken rule.
  void Draw(int64_t cycles) {
    for (now_ = 0; now_ < cycles && !broken; ++now_) {
      Shift();
      for (int queue = 0; queue < kC2cQueue0 && !broken; ++queue) {
        if (Chance(queue < kVxmQueue0 ? 12 : 3)) Issue(queue);
      }
    }
  }

  Vector& Word(int slice, int address) { return sram_[slice][Index(address)]; }
  // Few addresses, so that words are often read and overwritten soon after.
  static constexpr int kAddresses[] = {0, 1, 2, kWordsPerBank, kWordsPerBank + 1};
  static constexpr int kWords = 5;

  ProgramBuilder program;
  std::optional<Broken> broken;

 private:
  struct Coming {
    int stream, position;
    Vector value;
  };

  bool Chance(int one_in) { return random_() % one_in == 0; }
  static int Index(int address) {
    return static_cast<int>(std::find(std::begin(kAddresses), std::end(kAddresses), address) -
                            std::begin(kAddresses));
  }
  int AnyAddress() { return kAddresses[random_() % kWords]; }

  void Shift() {
    for (int s = 0; s < 64; ++s) {
      auto& row = flow_[s];
      if (s < 32) {
        std::move_backward(row.begin(), row.end() - 1, row.end());
        row[0].reset();
      } else {
        std::move(row.begin() + 1, row.end(), row.begin());
        row[kPositions - 1].reset();
      }
    }
    for (const Coming& c : coming_[now_]) flow_[c.stream][c.position] = c.value;
    coming_.erase(now_);
  }

  // A stream that, most times, holds something here; of an aligned group of `width`.
  int AnyStream(int position, int width) {
    for (int tries = 0; tries < (Chance(1000) ? 1 : 200); ++tries) {
      const int s = static_cast<int>(random_() % (64 / width)) * width;
      bool full = true;
      for (int j = 0; j < width; ++j) full &= flow_[s + j][position].has_value();
      if (full) return s;
    }
    return -1;
  }
  // A group on which, most times, nothing else will stand when `op` of `queue` has its result.
  int AnyOut(Opcode op, int queue, int width) {
    while (true) {
      const int s = static_cast<int>(random_() % (64 / width)) * width;
      if (!Taken(op, queue, s, width) || Chance(1000)) return s;
    }
  }
  bool Taken(Opcode op, int queue, int stream, int width) {
    for (const Coming& c : coming_[now_ + OpCycles(op)]) {
      if (c.position == Queue(queue).position && c.stream >= stream && c.stream < stream + width) {
        return true;
      }
    }
    return false;
  }

  void Break(FaultKind kind, int queue) { broken = Broken{kind, now_, queue}; }

  void Put(const Instruction& in, int queue, int stream, int width, const std::vector<Vector>& v) {
    const int position = Queue(queue).position;
    const int64_t cycle = now_ + OpCycles(in.op);
    if (Taken(in.op, queue, stream, width)) return Break(FaultKind::kStreamConflict, queue);
    for (int j = 0; j < width; ++j) coming_[cycle].push_back({stream + j, position, v[j]});
  }

  void Issue(int queue) {
    if (queue < kVxmQueue0) return Chance(2) ? IssueRead(queue) : IssueWrite(queue);
    if (queue < kMxmQueue0) return IssueAlu(queue);
    if (queue >= kSxmQueue0 && Queue(queue).queue_class == kSxmLanes) IssueShift(queue);
  }

  void IssueRead(int queue) {
    const Instruction in = Op(Opcode::kRead, {AnyAddress(), 0, AnyOut(Opcode::kRead, queue, 1)});
    program.At(now_, queue, in);
    Put(in, queue, in.arg[2], 1, {Word(queue, in.arg[0])});
    if (broken || !Chance(3)) return;
    const int s = AnyStream(Queue(queue).position, 1);
    if (s < 0) return;
    int address = AnyAddress();
    while (address / kWordsPerBank == in.arg[0] / kWordsPerBank && !Chance(400)) {
      address = AnyAddress();
    }
    const Instruction write = Op(Opcode::kWrite, {address, 0, s});
    program.Joined(now_, queue, write);
    if (write.arg[0] / kWordsPerBank == in.arg[0] / kWordsPerBank) {
      return Break(FaultKind::kBankConflict, queue);
    }
    Word(queue, write.arg[0]) = *flow_[s][Queue(queue).position];
  }

  void IssueWrite(int queue) {
    const int position = Queue(queue).position;
    int s = AnyStream(position, 1);
    if (s < 0 && !Chance(1000)) return;
    if (s < 0) s = 7;
    const Instruction in = Op(Opcode::kWrite, {AnyAddress(), 0, s});
    program.At(now_, queue, in);
    if (!flow_[s][position]) return Break(FaultKind::kStreamEmpty, queue);
    Word(queue, in.arg[0]) = *flow_[s][position];
  }

  std::vector<uint8_t> Native(int stream, int width, int position) {
    std::vector<uint8_t> out(kLanes * width);
    for (int i = 0; i < kLanes; ++i) {
      for (int j = 0; j < width; ++j) out[i * width + j] = flow_[stream + j][position]->bytes[i];
    }
    return out;
  }
  static std::vector<Vector> Planes(const std::vector<uint8_t>& native, int width) {
    std::vector<Vector> out(width);
    for (int i = 0; i < kLanes; ++i) {
      for (int j = 0; j < width; ++j) out[j].bytes[i] = native[i * width + j];
    }
    return out;
  }

  void IssueAlu(int queue) {
    const int type = std::array{kTypeI8, kTypeI16, kTypeI32}[random_() % 3];
    const int width = TypeBytes(type);
    const int a = AnyStream(kVxm, width), b = AnyStream(kVxm, width);
    if (a < 0 || b < 0) return;
    const Instruction in = Op(Opcode::kAdd, {type, 0, a, b, 0, AnyOut(Opcode::kAdd, queue, width)});
    program.At(now_, queue, in);
    const std::vector<uint8_t> x = Native(a, width, kVxm), y = Native(b, width, kVxm);
    std::vector<uint8_t> z(x.size());
    VxmBinary(BinaryOp::kAdd,
              width == 1 ? NumericType::kInt8 : width == 2 ? NumericType::kInt16 : NumericType::kInt32,
              x.data(), y.data(), z.data(), kLanes);
    Put(in, queue, in.arg[5], width, Planes(z, width));
  }

  void IssueShift(int queue) {
    const int position = Queue(queue).position, width = 1 << random_() % 3;
    const int s = AnyStream(position, width), n = static_cast<int>(random_() % 639) - 319;
    const int wrap = static_cast<int>(random_() % 2);
    if (s < 0) return;
    const Instruction in = Op(Opcode::kShift, {width, n, wrap, s, AnyOut(Opcode::kShift, queue, width)});
    program.At(now_, queue, in);
    std::vector<Vector> out(width);
    for (int j = 0; j < width; ++j) {
      for (int i = 0; i < kLanes; ++i) {
        if (wrap == 0 && (i + n < 0 || i + n >= kLanes)) continue;
        out[j].bytes[(i + n + kLanes) % kLanes] = flow_[s + j][position]->bytes[i];
      }
    }
    Put(in, queue, in.arg[4], width, out);
  }

  std::mt19937 random_;
  int64_t now_ = 0;
  std::array<std::array<std::optional<Vector>, kPositions>, 64> flow_;
  std::map<int64_t, std::vector<Coming>> coming_;  // by cycle
  std::vector<std::vector<Vector>> sram_;
};

TEST(FunctionalProperty, RandomProgramsGiveTheValuesOrTheFaultOfTheShiftingModel) {
  int faults = 0, whole = 0;
  for (uint32_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed + 1000);
    ShiftingModel model(seed);
    FunctionalEngine engine(0, ChipTiming::Default());
    for (int s = 0; s < kSlices; ++s) {
      for (int a : ShiftingModel::kAddresses) {
        engine.sram().Store(s, a, model.Word(s, a) = RandomVector(random));
      }
    }
    model.Draw(20 + seed % 60);
    engine.Start(model.program.Scheduled());
    NoLinks links;
    const EngineState state = engine.Run(links);
    ASSERT_EQ(state == EngineState::kFault, model.broken.has_value());
    if (model.broken) {
      ++faults;
      EXPECT_EQ(static_cast<int>(engine.fault().kind), static_cast<int>(model.broken->kind));
      EXPECT_EQ(engine.fault().cycle, model.broken->cycle);
      ASSERT_EQ(engine.fault().queue, model.broken->queue);
      continue;
    }
    ++whole;
    for (int s = 0; s < kSlices; ++s) {
      for (int a : ShiftingModel::kAddresses) {
        ASSERT_EQ(engine.sram().Load(s, a), model.Word(s, a)) << "slice " << s << " word " << a;
      }
    }
  }
  // Both sides must have been tried.
  EXPECT_GT(faults, 20);
  EXPECT_GT(whole, 20);
}

}  // namespace
}  // namespace lockstep
