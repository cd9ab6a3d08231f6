// V10, V11: how a vector is framed, and how long a link is busy with it.
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "chip/instructions.h"
#include "chip/queue.h"
#include "chip/timing.h"
#include "fabric/link_model.h"
#include "runtime/kernels/place.h"
#include "runtime/validation/validate_figures.h"
#include "runtime/validation/validate_testbed.h"

namespace lockstep {
namespace {

constexpr int kVectors = 126;  // 125 of them take a whole number of cycles

// The far end of every link swallows what is sent.
class OpenLinks : public LinkPort {
 public:
  bool IsCabled(int) const override { return true; }
  void Send(int, int64_t, const Vector*) override { ++sent; }
  void Transmit(int, int64_t) override {}
  Poll Peek(int, Arrival*) override { return Poll::kNever; }
  void Pop(int) override {}

  int sent = 0;
};

// Whether vectors sent in these cycles (ascending) break no rule; `fault` says which one they
// break.
bool Legal(const std::vector<int64_t>& sends, const ChipTiming& timing, FaultKind* fault) {
  const int slice = SliceNumber(Hemisphere::kWest, 43), stream = ops::West(0);
  const int lead =
      timing.d_func[static_cast<int>(Opcode::kRead)] + Hops(SlicePosition(slice), C2cPosition(0));
  Block b("sends");
  for (int64_t send : sends) {
    b.At(MemQueue(slice), ops::Read(0, 0, stream), send - lead);
    b.At(C2cQueue(0), ops::Send(stream), send);
  }
  DispatchResult d = Dispatch(ToProgram(b, timing), timing);
  LOCKSTEP_CHECK(!d.fault.has_value(), "%s", d.fault->ToString());
  TimingEngine engine(0, timing);
  OpenLinks links;
  engine.Start(std::make_shared<const Schedule>(std::move(d.schedule)));
  if (engine.Run(links) == EngineState::kDone) return links.sent == static_cast<int>(sends.size());
  *fault = engine.fault().kind;
  return false;
}

}  // namespace

Rows ValidateFraming(const ValidationOptions&) {
  const char* origin = "ISCA'22 Fig. 11";
  const double wire = static_cast<double>(ToWire(PayloadBytes(kVectorBytes)).value());
  return {Judge({"V10", FigureClass::kExact, "flits of a vector (computed)", "41", "flits", 41, 41,
                 "exact", origin},
                wire / kFlitBytes),
          Judge({"V10", FigureClass::kExact, "bytes of a vector on the wire (computed)", "328 B",
                 "B", 328, 328, "exact", origin},
                wire),
          Judge({"V10", FigureClass::kExact, "share of payload (computed)", "97.5 %", "%", 97.5,
                 97.6, "as printed", origin},
                100 * kVectorBytes / wire, "320 / 328 = 97.56 %; the paper prints 97.5")};
}

Rows ValidateLinkTime(const ValidationOptions& options) {
  const char* origin = "ISCA'22 2.3, at 0.9 GHz";
  const auto time = [origin](const char* what) {
    return Figure{"V11",          FigureClass::kAnalytic, what,    "23.62 cycles", "cycles",
                  23.616 * 0.995, 23.616 * 1.005,         "0.5 %", origin};
  };
  const Figure cycles = time("time from send to send of 126 vectors back to back");
  const Figure goodput = {"V11",
                          FigureClass::kAnalytic,
                          "payload of a link, one direction",
                          "12.195 GB/s",
                          "GB/s",
                          12.195 * 0.995,
                          12.195 * 1.005,
                          "0.5 %",
                          origin};
  std::vector<int64_t> sends;
  FaultKind fault = FaultKind::kUntested;
  int refused = 0;
  while (sends.size() < kVectors) {
    // From well below any serialisation time upwards, to the first cycle that is accepted.
    sends.push_back(sends.empty() ? 2 * kPositions : sends.back() + 16);
    while (!Legal(sends, options.timing, &fault)) {
      ++sends.back(), ++refused;
      if (sends.back() - sends.front() > 100 * kVectors) {
        return {Unmeasured(cycles, "no cycle is accepted")};
      }
    }
  }
  const double each = static_cast<double>(sends.back() - sends.front()) / (kVectors - 1);
  return {Judge(time("time of a vector on the wire (computed)"),
                static_cast<double>(options.timing.link_ticks) / kTicksPerCycle),
          Judge(cycles, each,
                absl::StrFormat(
                    "each in the first cycle that is accepted; %d earlier ones were refused as %s",
                    refused, FaultName(fault))),
          Judge(goodput, kVectorBytes / each * kClockGhz)};
}

}  // namespace lockstep
