// One line of help for each flag (launcher/deployment_flags.h).
#include "launcher/deployment_flags.h"

namespace lockstep {

void AddSharedFlags(CLI::App& app, std::optional<std::string>* kv_cache,
                    std::vector<std::string>* failed) {
  app.add_option("--kv", *kv_cache, "Format of the KV cache: fp16 (default) or int8")
      ->check(CLI::IsMember({"fp16", "int8"}));
  app.add_option("--failed", *failed,
                 "Node that must not be used: RACK.NODE, or NODE where there are no racks; may be "
                 "repeated")
      ->expected(1)
      ->take_all();
}

void AddDeploymentFlags(CLI::App& app, DeploymentOptions* options) {
  app.add_option("--weights", options->weights,
                 "Format of the layers' matrices: fp16 (default) or int8")
      ->check(CLI::IsMember({"fp16", "int8"}));
  AddSharedFlags(app, &options->kv_cache, &options->failed);
  app.add_option("--sequences", options->sequences,
                 "Sequences in flight, each with a KV cache of its own (default 1)");
  app.add_option("--tensor-parallel", options->tensor_parallel,
                 "Chips of a node that share a stage (default: what is fastest)");
  app.add_option("--nodes", options->nodes,
                 "Stages of the pipeline, a node each (default: what is fastest, then fewest)");
  app.add_option("--prefill-batch", options->prefill_batch,
                 "Keep room on all stages for so many positions of a prompt at once: 1, 2, 4, 8 or "
                 "16 (default 1: what is left)");
}

}  // namespace lockstep
