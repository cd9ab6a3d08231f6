// Collects runs and writes them as trace events (runtime/run/timeline.h). The JSON is written by
// hand, a line an event: names are our own and hold nothing that needs escapes.
#include "runtime/run/timeline.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "chip/check.h"
#include "chip/queue.h"

namespace lockstep {
namespace {

constexpr int kLanesPerTrack = 8;
constexpr int kTracks = 1 + kQueues;  // kernels, then queues

struct Slice {
  const char* name = "";  // of a kernel; runs take their instruction's
  int64_t first = 0, last = 0;
  const RunRetired* run = nullptr;
  int step = 0;
};

// The slices of one track of one chip, spread over as few lanes as keep them from overlapping.
class Track {
 public:
  int LaneFor(int64_t first, int64_t last) {
    size_t lane = 0;
    while (lane + 1 < kLanesPerTrack && lane < ends_.size() && ends_[lane] >= first) ++lane;
    if (lane == ends_.size()) ends_.push_back(last);
    ends_[lane] = std::max(ends_[lane], last);
    return static_cast<int>(lane);
  }
  int lanes() const { return static_cast<int>(ends_.size()); }

 private:
  std::vector<int64_t> ends_;
};

std::string TrackName(int track, int lane) {
  const std::string name = track == 0 ? "kernels" : QueueName(track - 1);
  return lane == 0 ? name : absl::StrCat(name, " (", lane + 1, ")");
}

class Writer {
 public:
  explicit Writer(const TimelineInput& input) : in_(input) {}

  std::string Write() {
    out_ =
        "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"time_unit\":"
        "\"1 us of this trace is 1 cycle of the chip (900 MHz)\"},\n\"traceEvents\":[\n";
    size_t at = 0;
    for (uint32_t chip = 0; chip < in_.wiring.chips(); ++chip) {
      std::vector<Slice> tracks[kTracks];
      int steps = 0;
      const ProgramsOfSteps all{
          in_.batches, in_.batches > 0 ? static_cast<int>(in_.batch_programs[chip].size()) : 0,
          static_cast<int>(in_.programs[chip].size())};
      for (; at < in_.events.size() && in_.events[at].chip == chip; ++at) {
        const ChipEvent& e = in_.events[at];
        const auto [step, program] = all.PlaceOf(e.program);
        const int64_t offset = StartOf(step) + ProgramsOf(chip, step)[program].start;
        tracks[1 + e.run.queue].push_back(
            {"", offset + e.run.first, offset + e.run.last, &e.run, step});
        steps = std::max(steps, step + 1);
      }
      AddKernels(chip, steps, tracks[0]);
      WriteChip(chip, tracks);
    }
    WriteFlows();
    out_.resize(out_.size() - 2);  // the last comma
    return out_ + "\n]}\n";
  }

 private:
  struct End {
    int64_t cycle;
    int tid;
  };

  const std::vector<TimelineProgram>& ProgramsOf(uint32_t chip, int step) const {
    return step < in_.batches ? in_.batch_programs[chip] : in_.programs[chip];
  }
  int64_t StartOf(int step) const {
    const int batches = std::min(step, in_.batches);
    return batches * in_.batch_cycles + (step - batches) * in_.step_cycles;
  }

  void AddKernels(uint32_t chip, int steps, std::vector<Slice>& track) const {
    for (int step = 0; step < steps; ++step) {
      for (const TimelineProgram& program : ProgramsOf(chip, step)) {
        const int64_t offset = StartOf(step) + program.start;
        for (const Placer::Span& span : *program.kernels) {
          track.push_back({span.name, offset + span.first, offset + span.last, nullptr, step});
        }
      }
    }
  }

  void WriteChip(uint32_t chip, std::vector<Slice>* tracks) {
    absl::StrAppend(&out_, "{\"ph\":\"M\",\"pid\":", chip, ",\"tid\":0,\"name\":\"process_name\",",
                    "\"args\":{\"name\":\"chip", chip, "\"}},\n");
    for (int t = 0; t < kTracks; ++t) {
      std::stable_sort(tracks[t].begin(), tracks[t].end(),
                       [](const Slice& a, const Slice& b) { return a.first < b.first; });
      Track track;
      for (const Slice& s : tracks[t]) {
        const int tid = t * kLanesPerTrack + track.LaneFor(s.first, s.last);
        WriteSlice(chip, tid, s);
        if (s.run != nullptr) NoteLink(chip, tid, s);
      }
      for (int lane = 0; lane < track.lanes(); ++lane) {
        const int tid = t * kLanesPerTrack + lane;
        absl::StrAppend(&out_, "{\"ph\":\"M\",\"pid\":", chip, ",\"tid\":", tid,
                        ",\"name\":\"thread_name\",\"args\":{\"name\":\"", TrackName(t, lane),
                        "\"}},\n");
        absl::StrAppend(&out_, "{\"ph\":\"M\",\"pid\":", chip, ",\"tid\":", tid,
                        ",\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":", tid, "}},\n");
      }
    }
  }

  void WriteSlice(uint32_t chip, int tid, const Slice& s) {
    absl::StrAppend(&out_, "{\"ph\":\"X\",\"pid\":", chip, ",\"tid\":", tid, ",\"ts\":", s.first,
                    ",\"dur\":", s.last - s.first + 1, ",\"name\":\"");
    if (s.run == nullptr) {
      absl::StrAppend(&out_, s.name, "\",\"cat\":\"kernel\",\"args\":{\"step\":", s.step, "}},\n");
      return;
    }
    absl::StrAppend(&out_, Info(s.run->op).name, "\",\"cat\":\"run\",\"args\":{\"step\":", s.step,
                    ",\"count\":", s.run->count, ",\"operand_age\":", s.run->operand_age, "}},\n");
  }

  // The dispatch cycles of SEND and RECEIVE, in order: vectors of a link keep theirs.
  void NoteLink(uint32_t chip, int tid, const Slice& s) {
    const bool send = s.run->op == Opcode::kSend;
    if (!send && s.run->op != Opcode::kReceive) return;
    const int link = s.run->queue - kC2cQueue0;
    const int32_t wire = send ? in_.wiring.outgoing(chip, link) : in_.wiring.incoming(chip, link);
    if (wire < 0) return;
    auto& ends = send ? sent_ : received_;
    ends.resize(in_.wiring.wires().size());
    const int64_t n = s.run->count;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t cycle = n == 1 ? s.first : s.first + (s.last - s.first) / (n - 1) * i;
      ends[wire].push_back({cycle, tid});
    }
  }

  void WriteFlows() {
    int64_t id = 0;
    for (size_t w = 0; w < std::min(sent_.size(), received_.size()); ++w) {
      const Wire& wire = in_.wiring.wires()[w];
      std::vector<End>&from = sent_[w], &to = received_[w];
      for (std::vector<End>* ends : {&from, &to}) {
        std::stable_sort(ends->begin(), ends->end(),
                         [](const End& a, const End& b) { return a.cycle < b.cycle; });
      }
      for (size_t i = 0; i < std::min(from.size(), to.size()); ++i, ++id) {
        WriteFlow("\"s\"", wire.from_chip, from[i], id);
        WriteFlow("\"f\",\"bp\":\"e\"", wire.to_chip, to[i], id);
      }
    }
  }

  void WriteFlow(const char* phase, uint32_t chip, const End& end, int64_t id) {
    absl::StrAppend(&out_, "{\"ph\":", phase, ",\"pid\":", chip, ",\"tid\":", end.tid,
                    ",\"ts\":", end.cycle, ",\"id\":", id,
                    ",\"name\":\"vector\",\"cat\":\"link\"},\n");
  }

  const TimelineInput& in_;
  std::string out_;
  std::vector<std::vector<End>> sent_, received_;  // by wire
};

}  // namespace

ProgramsOfSteps::Place ProgramsOfSteps::PlaceOf(int program) const {
  const int in_batches = batches * of_batch;
  if (program < in_batches) return {program / of_batch, program % of_batch};
  LOCKSTEP_CHECK(of_step > 0, "program %d of a chip without any", program);
  return {batches + (program - in_batches) / of_step, (program - in_batches) % of_step};
}

void TimelineRecorder::OnRun(uint32_t chip, const RunRetired& run) {
  Log& log = logs_[chip];
  if (run.run == 0) ++log.program;  // runs are reported in their order
  if (log.programs.PlaceOf(log.program).step < steps_) log.events.push_back({chip, log.program, run});
}

std::vector<ChipEvent> TimelineRecorder::Take() {
  std::vector<ChipEvent> all;
  for (Log& log : logs_) {
    all.insert(all.end(), log.events.begin(), log.events.end());
    log.events.clear();
  }
  return all;
}

std::vector<ChipEvent> GatherEvents(Transport& transport, const std::vector<ChipEvent>& mine) {
  static_assert(std::is_trivially_copyable_v<ChipEvent>);
  const absl::string_view bytes(reinterpret_cast<const char*>(mine.data()),
                                mine.size() * sizeof(ChipEvent));
  std::vector<ChipEvent> all;
  for (const std::string& part : transport.Gather(bytes)) {
    const size_t at = all.size();
    all.resize(at + part.size() / sizeof(ChipEvent));
    if (!part.empty()) std::memcpy(all.data() + at, part.data(), part.size());
  }
  return all;
}

std::string TimelineJson(const TimelineInput& input) { return Writer(input).Write(); }

}  // namespace lockstep
