#pragma once
// What a user asks of one run: every option of `lockstep run` and `lockstep-chip`, as plain
// values. The two executables parse the same flags into this; `lockstep run` turns it back into
// arguments for the ranks that it starts.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/compiler/deployment_options.h"
#include "runtime/files/number_format.h"
#include "runtime/model/sampler.h"
#include "runtime/run/session.h"

namespace lockstep {

enum class TransportKind : uint8_t { kMpi, kLocal };

// Absent: not given, so that a default is never mistaken for a wish.
struct RunOptions {
  std::string model;         // folder; with the timing engine also a published shape by name
  std::string topology;      // name or path
  std::string topology_dir;  // empty: the launcher's own search
  std::optional<std::string> prompt;
  std::optional<std::vector<int>> prompt_ids;
  int tokens = 0;  // to generate, at most
  bool ignore_eos = false;

  TransportKind transport = TransportKind::kMpi;
  EngineKind engine = EngineKind::kFunctional;
  std::optional<std::string> hop_latency;  // preset of fabric/link_model.h
  std::optional<int> chips;                // of a node; layers are cut over them
  std::optional<int> nodes;                // stages of the pipeline; absent: as few as have room
  std::optional<int> sequences;            // in flight, all with the same prompt
  std::optional<std::string> kv_cache;     // format: fp16 or int8
  std::vector<std::string> failed;         // nodes that must not be used
  std::optional<int> chips_per_rank;       // MPI only
  bool pack_chips = false;                 // as cores or ranks allow, instead of chips_per_rank
  std::optional<int> threads;              // in-process only
  std::optional<int64_t> sram_limit;       // bytes at once; functional, in-process only
  std::optional<int> context;              // positions the program is compiled for
  std::optional<NumberFormat> weights;     // of the layers' matrices; default fp16
  std::optional<int> prefill_batch;        // positions of a prompt at once; 1: one by one
  std::optional<int> prompt_flight;        // or that follow each other over several stages
  std::vector<std::string> latencies;      // NAME=VALUE, of ChipTiming::Parameters()

  std::optional<double> temperature;  // 0 or absent: greedy, unless top_k or top_p is given
  std::optional<int> top_k;
  std::optional<double> top_p;
  std::optional<uint64_t> seed;

  std::string logits, report, timeline, table, links;  // files; empty: none
  std::optional<int> timeline_steps;            // default 1: the first token's step only
  bool quiet = false;                           // text only, no table
  bool progress = false;                        // a line a step on stderr, for a program to read

  bool operator==(const RunOptions&) const = default;

  DeploymentOptions Deployment() const;
  bool Sampled() const;  // not greedy
  SamplerOptions Sampler() const;
};

// Ok, or InvalidArgument naming the option: one that is out of range, contradicts another, or would
// have no effect. Looks at no file.
absl::Status ValidateOptions(const RunOptions& options);

// The arguments that give these options again, without the program's name; defaults are left out,
// and so are `transport` and `threads`: the reader is an MPI rank.
std::vector<std::string> RankArguments(const RunOptions& options);

// "1,403,407" as numbers; an error names what is no number.
absl::StatusOr<std::vector<int>> ParseIds(const std::string& text);
std::string JoinIds(const std::vector<int>& ids);

}  // namespace lockstep
