// What a client may ask and what is run for it (runtime/jobs/request.h): every field of a job is an
// argument of the command, or refused by its path.
#include "runtime/jobs/request.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace lockstep {
namespace {

using testing::Contains;
using testing::IsSupersetOf;

class RequestTest : public testing::Test {
 protected:
  static v1::JobSpec Spec(const std::string& json) {
    v1::JobSpec spec;
    const auto status = google::protobuf::util::JsonStringToMessage(json, &spec);
    EXPECT_TRUE(status.ok()) << status.ToString() << json;
    return spec;
  }
  absl::StatusOr<PreparedJob> Prepare(const std::string& json) const {
    return PrepareJob(Spec(json), roots_, limits_);
  }
  std::vector<std::string> Arguments(const std::string& json) const {
    const auto job = Prepare(json);
    EXPECT_TRUE(job.ok()) << job.status() << json;
    return job.ok() ? job->command.arguments : std::vector<std::string>();
  }
  // The field that is refused; "" if the job is good, "?" if none is named.
  std::string Refused(const std::string& json) const {
    const auto job = Prepare(json);
    if (job.ok()) return "";
    const std::string field = FieldOf(job.status());
    return field.empty() ? "?" : field;
  }
  static std::string Generate(const std::string& more, const std::string& topology = "groqcard") {
    return R"({"generate": {"model": "story", "machine": {"topology": ")" + topology +
           R"("}, "prompt": "Nora was", "tokens": 4)" + (more.empty() ? "" : ", ") + more + "}}";
  }
  static std::string Run(const std::string& more) {
    return R"({"run": {"model": "llama-2-7b", "machine": {"topology": "groqrack"}, "tokens": 1,
              "context": 8)" + std::string(more.empty() ? "" : ", ") + more + "}}";
  }
  static std::string Plan(const std::string& more) {
    return R"({"plan": {"model": "llama-2-7b", "machine": {"topology": "groqrack"})" +
           std::string(more.empty() ? "" : ", ") + more + "}}";
  }
  static std::string Sweep(const std::string& more) {
    return R"({"collectiveSweep": {)" + more + "}}";
  }

  JobRoots roots_{{LOCKSTEP_SOURCE_DIR "/models"}, LOCKSTEP_SOURCE_DIR "/topologies"};
  HostLimits limits_{2, int64_t{64} << 30, 128, 60, int64_t{1} << 30};
};

TEST_F(RequestTest, FieldsOfARunAreItsFlags) {
  const auto has = [this](const std::string& field, const std::string& flag) {
    EXPECT_THAT(Arguments(Generate(field, "groqrack")), Contains(flag)) << field;
  };
  has(R"("weights": "int8")", "--weights=int8");
  has(R"("kvCache": "fp16")", "--kv=fp16");
  has(R"("kvCache": "int8")", "--kv=int8");
  has(R"("sequences": 2)", "--sequences=2");
  has(R"("nodes": 2)", "--nodes=2");
  has(R"("failedNodes": ["0.1"])", "--failed=0.1");
  has(R"("prefillBatch": 2)", "--prefill-batch=2");
  has(R"("context": 32)", "--context=32");
  has(R"("ignoreEos": true)", "--ignore-eos");
  has(R"("keepTimeline": true, "timelineSteps": 3)", "--timeline-steps=3");
  has(R"("sampling": {"temperature": 0.5, "topK": 3, "topP": 0.5, "seed": 7})", "--seed=7");
  has(R"("placement": {"threads": 1, "sramLimitBytes": 100000000})", "--sram-limit=100000000");
  has(R"("placement": {"chipsPerRank": 3})", "--chips-per-rank=3");
  EXPECT_THAT(Arguments(Run(R"("weights": "int8", "nodes": 6, "failedNodes": ["0.2"])")),
              IsSupersetOf({"--weights=int8", "--engine=timing", "--nodes=6", "--failed=0.2"}));
  const char* flight = R"("nodes": 5, "weights": "int8", "promptTokens": 2, "promptFlight": 2)";
  EXPECT_THAT(Arguments(Run(flight)), Contains("--prompt-flight=2"));
  has(R"("nodes": 2, "promptFlight": 2)", "--prompt-flight=2");
}

TEST_F(RequestTest, FieldsOfAPlanAreItsFlags) {
  EXPECT_THAT(Arguments(Plan(R"("context": 128, "weights": "int8", "kvCache": "fp16",
                                "sequences": 3, "nodes": 2, "failedNodes": ["0.0", "0.3"])")),
              IsSupersetOf({"--context=128", "--weights=int8", "--kv=fp16", "--sequences=3",
                            "--nodes=2", "--failed=0.0", "--failed=0.3"}));
  EXPECT_THAT(Arguments(R"({"plan": {"model": "llama-2-7b", "machine": {"topology": "groqrack",
                                     "chips": 4, "hopLatency": "C"}}})"),
              IsSupersetOf({"--tensor-parallel=4", "--hop-latency=C"}));
}

TEST_F(RequestTest, FieldsOfASweepAreFlagsOfCompare) {
  EXPECT_THAT(Arguments(Sweep(R"("kinds": ["all_reduce", "broadcast"], "bytes": [8, 1024],
                                 "machine": {"topology": "groqnode"}, "baseline": "dgx-h100",
                                 "gpus": 4, "checkBytes": 512, "ncclVersion": "2.18",
                                 "launch": "mpi", "algorithm": "Ring", "protocol": "LL")")),
              IsSupersetOf({"--collective=all_reduce,broadcast", "--sizes=8,1024",
                            "--topology=groqnode", "--baseline=dgx-h100", "--gpus=4",
                            "--check=512", "--nccl-version=2.18", "--launch=mpi",
                            "--algorithm=Ring", "--protocol=LL"}));
  const auto alone = Arguments(Sweep(
      R"("kinds": ["all_gather"], "bytes": [8], "baseline": "dgx-a100", "baselineOnly": true)"));
  EXPECT_THAT(alone, Contains("--baseline-only"));
}

TEST_F(RequestTest, WrongFieldsOfARunAreNamed) {
  const auto refused = [this](const std::string& field, const std::string& more) {
    EXPECT_EQ(Refused(Generate(more, "groqrack")), "spec.generate." + field) << more;
  };
  refused("weights", R"("weights": "fp8")");
  refused("kv_cache", R"("kvCache": "")");
  refused("kv_cache", R"("kvCache": "fp8")");
  refused("nodes", R"("nodes": 0)");
  refused("machine.topology", R"("nodes": 2147483647)");
  refused("sequences", R"("sequences": 0)");
  refused("failed_nodes", R"("failedNodes": ["0.99"])");
  refused("failed_nodes", R"("failedNodes": ["node:0.1"])");
  refused("failed_nodes", R"("failedNodes": ["--help"])");
  refused("failed_nodes", R"("failedNodes": ["0.1", "0.1"])");
  refused("prefill_batch", R"("prefillBatch": 3)");
  refused("prompt_flight", R"("nodes": 2, "promptFlight": 0)");
  refused("prompt_flight", R"("nodes": 2, "promptFlight": 100)");
  refused("prompt_flight", R"("promptFlight": 2)");
  refused("timeline_steps", R"("timelineSteps": 2)");
  refused("timeline_steps", R"("keepTimeline": true, "timelineSteps": 0)");
  refused("placement.sram_limit_bytes", R"("placement": {"sramLimitBytes": 1000})");
  refused("placement.sram_limit_bytes", R"("placement": {"threads": 1, "sramLimitBytes": -1})");
  refused("placement.rank_per_core", R"("placement": {"rankPerCore": false})");
  EXPECT_EQ(Refused(R"({"run": {"model": "llama-2-70b", "machine": {"topology": "groqrack-x10"},
                                "tokens": 1, "keepTimeline": true}})"),
            "spec.run.keep_timeline") << "of 640 chips";
  EXPECT_EQ(Refused(Run(R"("placement": {"threads": 1, "sramLimitBytes": 1000})")),
            "spec.run.placement.sram_limit_bytes");
}

TEST_F(RequestTest, AbsurdNumbersAreRefusedAtOnce) {
  for (const char* number : {"8193", "2147483647"}) {
    const std::string sequences = absl::StrCat("\"sequences\": ", number);
    EXPECT_EQ(Refused(Generate(sequences, "groqrack")), "spec.generate.sequences");
    EXPECT_EQ(Refused(Run(sequences)), "spec.run.sequences");
    EXPECT_EQ(Refused(Plan(sequences)), "spec.plan.sequences");
  }
  EXPECT_EQ(Refused(Run(R"("sequences": 8192)")), "spec.run") << "a matter of room";
}

TEST_F(RequestTest, WrongFieldsOfPlansAndSweepsAreNamed) {
  for (const char* field : {"context", "sequences", "nodes"}) {
    EXPECT_EQ(Refused(Plan(absl::StrCat("\"", field, "\": 0"))), absl::StrCat("spec.plan.", field));
  }
  EXPECT_EQ(Refused(Plan(R"("weights": "int4")")), "spec.plan.weights");
  EXPECT_EQ(Refused(Plan(R"("failedNodes": ["9.9"])")), "spec.plan.failed_nodes");
  const std::string good = R"("kinds": ["all_reduce"], "bytes": [8], "baseline": "dgx-a100",
                              "machine": {"topology": "groqnode"})";
  EXPECT_EQ(Refused(Sweep(good)), "");
  const auto refused = [this, &good](const std::string& field, const std::string& more) {
    EXPECT_EQ(Refused(Sweep(good + ", " + more)), "spec.collective_sweep." + field) << more;
  };
  refused("gpus", R"("gpus": 3)");
  refused("check_bytes", R"("checkBytes": 0)");
  refused("check_bytes", R"("checkBytes": 99999999999)");
  refused("nccl_version", R"("ncclVersion": "9")");
  refused("launch", R"("launch": "--help")");
  refused("algorithm", R"("algorithm": "")");
  refused("protocol", R"("protocol": "x")");
  refused("machine", R"("baselineOnly": true)");
}

TEST_F(RequestTest, ACollectiveIsCheckedFieldByField) {
  const auto collective = [](const std::string& fields) {
    return R"({"collective": {"machine": {"topology": "groqrack")" + fields + "}}";
  };
  const auto job = Prepare(collective(R"(, "hopLatency": "C", "chips": 16}, "kind": "all_gather",
                                         "bytes": 4096, "algorithm": "trees")"));
  ASSERT_TRUE(job.ok()) << job.status();
  for (const char* flag : {"--kind=all_gather", "--bytes=4096", "--chips=16", "--hop-latency=C",
                           "--algorithm=trees", "--links=links.csv"}) {
    EXPECT_THAT(job->command.arguments, Contains(flag));
  }
  EXPECT_THAT(job->command.artifacts, Contains("links.csv"));
  const auto refused = [&](const std::string& field, const std::string& fields) {
    EXPECT_EQ(Refused(collective(fields)), "spec.collective." + field) << fields;
  };
  refused("kind", R"(}, "bytes": 4)");
  refused("kind", R"(}, "kind": "sum", "bytes": 4)");
  refused("bytes", R"(}, "kind": "all_reduce")");
  refused("bytes", R"(}, "kind": "all_reduce", "bytes": -1)");
  refused("algorithm", R"(}, "kind": "all_reduce", "bytes": 4, "algorithm": "magic")");
  refused("machine.chips", R"(, "chips": 73}, "kind": "all_reduce", "bytes": 4)");
  refused("machine.hop_latency", R"(, "hopLatency": "D"}, "kind": "all_reduce", "bytes": 4)");
  limits_.memory_bytes = int64_t{1} << 30;
  EXPECT_EQ(Prepare(collective(R"(}, "kind": "sendrecv", "bytes": 104857600)")).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(RequestTest, ARankPerCoreSharesChipsEvenly) {
  limits_.cores = 3;
  const auto job = Prepare(Generate(R"("placement": {"rankPerCore": true})", "groqnode"));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->needs.ranks(), 3);  // 8 chips: 3 + 3 + 2
  EXPECT_THAT(job->command.arguments, Contains("--chips-per-rank=3"));
}

TEST_F(RequestTest, ATimelineIsAmongTheMemoryThatAJobNeeds) {
  const auto bytes = [this](const std::string& more) {
    const auto job = Prepare(R"({"run": {"model": "llama-2-7b", "tokens": 2, "machine":
        {"topology": "groqrack-x2"}, "context": 64, "placement": {"threads": 1})" + more + "}}");
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->needs.memory_bytes() : 0;
  };
  const int64_t without = bytes(""), one = bytes(R"(, "keepTimeline": true)");
  EXPECT_GT(one, without + (int64_t{2} << 30));  // it took 28 MB a chip of some 100
  EXPECT_EQ(bytes(R"(, "keepTimeline": true, "timelineSteps": 2)") - one, one - without);
}

// Each sequence has programs of its own, and another one for batches.
TEST_F(RequestTest, ProgramsAreAmongTheMemoryThatAJobNeeds) {
  const auto bytes = [this](const std::string& more) {
    const auto job = Prepare(R"({"run": {"model": "llama-2-7b", "tokens": 1, "promptTokens": 16,
        "weights": "int8", "nodes": 8, "machine": {"topology": "groqrack"}, "context": 64,
        "placement": {"threads": 1}, )" + more + "}}");
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->needs.memory_bytes() : 0;
  };
  const int64_t one = bytes(R"("prefillBatch": 1)");
  EXPECT_GT(one, int64_t{208} << 20);  // which it took
  EXPECT_GT(bytes(R"("prefillBatch": 1, "sequences": 2)"), one + (int64_t{168} << 20));
  EXPECT_GT(bytes(R"("prefillBatch": 16)"), one + (int64_t{408} << 20));
}

}  // namespace
}  // namespace lockstep
