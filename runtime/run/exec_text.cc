// What `lockstep exec` prints (runtime/run/exec.h).
//
//   chip0: 17 cycles, 3 dispatches in 3 runs, digest 0123456789abcdef
//                     0         1
//             age     01234567890123456
//   mem0        0     D==R             read 17, 0, e0          a line a run; D: dispatch, = in the
//   vxm0        1     .   D=R          add i8, 0, e0, #1, e1   unit, R: the result is on its stream
//
// Programs too long or too wide for that picture get the cycles as numbers instead.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "chip/queue.h"
#include "runtime/run/exec.h"

namespace lockstep {
namespace {

constexpr int64_t kWidestPicture = 90;   // cycles
constexpr size_t kTallestPicture = 100;  // runs

bool Writes(const Instruction& in) {
  const OpInfo& info = Info(in.op);
  for (int k = 0; k < info.operand_count; ++k) {
    const OperandKind kind = info.operands[k].kind;
    if (kind == OperandKind::kStreamOut) return true;
    if (kind == OperandKind::kStreamOutOrNone && in.arg[k] != kNoStream) return true;
  }
  return false;
}

class ChipText {
 public:
  ChipText(const ExecChip& chip, const ChipTiming& timing) : chip_(chip), timing_(timing) {
    for (const Run& run : chip.schedule->runs) {
      until_ = std::max(until_, run.last() + (Writes(run.instr) ? Latency(run) : 0) + 1);
    }
  }

  std::string Timeline() const {
    const std::vector<Run>& runs = chip_.schedule->runs;
    const bool picture = until_ <= kWidestPicture && runs.size() <= kTallestPicture;
    std::string out =
        picture ? Ruler()
                : absl::StrFormat("%-10s%6s  %-24s%s\n", "queue", "age", "cycles", "instruction");
    for (size_t i = 0; i < runs.size(); ++i) {
      absl::StrAppendFormat(&out, "%-10s%6d  %s%s%s\n", QueueName(runs[i].queue),
                            chip_.retired[i].operand_age,
                            picture ? Bar(runs[i]) : absl::StrFormat("%-22s", Cycles(runs[i])),
                            "  ", InstructionText(runs[i].instr));
    }
    return out;
  }

 private:
  int64_t Latency(const Run& run) const { return timing_.d_func[static_cast<int>(run.instr.op)]; }

  std::string Ruler() const {
    std::string tens, ones;
    for (int64_t c = 0; c < until_; ++c) {
      tens += c % 10 == 0 ? static_cast<char>('0' + c / 10 % 10) : ' ';
      ones += static_cast<char>('0' + c % 10);
    }
    while (!tens.empty() && tens.back() == ' ') tens.pop_back();
    return absl::StrFormat("%18s%s\n%-10s%6s  %s  instruction\n", "", tens, "queue", "age", ones);
  }

  std::string Bar(const Run& run) const {
    std::string bar(static_cast<size_t>(until_), ' ');
    for (int64_t c = 0; c < run.first; c += 5) bar[c] = '.';  // leads the eye
    for (int pass = 0; pass < 3; ++pass) {  // a dispatch hides a result, a result hides the wait
      for (int64_t i = 0; i < run.count; ++i) Mark(run, run.cycle(i), pass, bar);
    }
    return bar;
  }

  void Mark(const Run& run, int64_t t, int pass, std::string& bar) const {
    if (pass == 2) bar[t] = 'D';
    if (pass == 2 || !Writes(run.instr)) return;
    if (pass == 1) bar[t + Latency(run)] = 'R';
    for (int64_t c = t + 1; pass == 0 && c < t + Latency(run); ++c) bar[c] = '=';
  }

  static std::string Cycles(const Run& run) {
    if (run.count == 1) return absl::StrCat(run.first);
    return absl::StrCat(run.first, "..", run.last(), " x", run.count,
                        run.period > 1 ? absl::StrCat(" every ", run.period) : "");
  }

  const ExecChip& chip_;
  const ChipTiming& timing_;
  int64_t until_ = 0;  // first cycle beyond all that the picture shows
};

}  // namespace

std::string ExecText(const ExecSetup& setup, const ExecResult& result, bool timeline) {
  LOCKSTEP_CHECK(!result.fault, "text of %s", result.fault->ToString());
  std::string out;
  for (size_t i = 0; i < result.chips.size(); ++i) {
    const ExecChip& chip = result.chips[i];
    absl::StrAppendFormat(&out, "chip%d: %d cycles, %d dispatches in %d runs, digest %016x\n", i,
                          chip.schedule->end, chip.schedule->dispatches, chip.schedule->runs.size(),
                          chip.digest);
    if (timeline) out += ChipText(chip, setup.timing).Timeline();
  }
  for (size_t i = 0; i < result.chips.size(); ++i) {
    if (result.chips[i].values.empty()) continue;
    ProgramFile file;
    file.words = result.chips[i].values;
    absl::StrAppend(&out, "chip", i, " holds\n", Disassemble(file));
  }
  return out;
}

}  // namespace lockstep
