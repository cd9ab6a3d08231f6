// What programs decide alike (runtime/compiler/rules.h).
#include "runtime/compiler/rules.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "chip/isa.h"

namespace lockstep {

int64_t StreamedBytes(const Program& program) {
  int64_t bytes = 0;
  for (int q = 0; q < kQueues; ++q) {
    const std::vector<Instruction>& text = program.queues[q];
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i].op != Opcode::kLw) continue;
      const bool repeated = i + 1 < text.size() && text[i + 1].op == Opcode::kRepeat;
      bytes += int64_t{repeated ? text[i + 1].arg[0] + 1 : 1} * text[i].arg[3] * kVectorBytes;
    }
  }
  return bytes;
}

bool NormsAreStreamed(const Plan& plan) {
  constexpr int kLeastWords = 4;
  return plan.weights == NumberFormat::kFp16 && plan.hidden_words() >= kLeastWords;
}

bool SumsTravelAsHalf(const Plan& plan, const SplitMatrix& w, const Group& group,
                      const ChipTiming& timing) {
  int product = 0;
  for (const SplitMatrix::Part& part : w.parts) {
    product = std::max(product, part.matrix.weight_rows());
  }
  return plan.hidden_words() * 4 * LinkPeriod(timing) > product + group.flight_cycles;
}

absl::Status CheckLatencies(const ChipTiming& timing) {
  const auto cycles = [&](Opcode op) { return timing.d_func[static_cast<int>(op)]; };
  const int step = cycles(Opcode::kOr);
  for (Opcode op :
       {Opcode::kAdd, Opcode::kMax, Opcode::kSub, Opcode::kMul, Opcode::kMask, Opcode::kAnd,
        Opcode::kCmpGt, Opcode::kTanh, Opcode::kExp, Opcode::kRsqrt, Opcode::kConvert}) {
    const bool equal = op == Opcode::kAdd || op == Opcode::kMax;
    if (equal ? cycles(op) == step : cycles(op) % step == 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "latency of ", Info(op).name, " = ", cycles(op), ": kernels are laid out for ",
        equal ? "that of or, " : "a multiple of or's ", step, " cycles; change them together"));
  }
  return absl::OkStatus();
}

}  // namespace lockstep
