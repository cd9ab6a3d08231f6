#!/usr/bin/env python3
"""How the emulator's own time and memory grow from 1 to 10 racks: layers of Llama-2-70B in int8, one a
node and so eight a rack. `plan` chooses, compiles and weighs; `run` compiles, verifies and executes
one token on every chip. Times and memory are those of the host that runs the jobs (two threads; others
may use it too).
"""
import json

import study

# Llama-2-70B's config.json but for the number of layers (meta-llama/Llama-2-70b-hf).
CONFIG = {"model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672,
          "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 32000,
          "max_position_embeddings": 4096, "tie_word_embeddings": False}
USED = ("s", "cpu_s", "MB")


def used(outcome):
    return [f"{v:.1f}" for v in (outcome.seconds, outcome.cpu_seconds, outcome.megabytes)]


def main():
    arguments = study.parse_arguments(__doc__)
    s = study.Study("growth", ["racks", "chips", *(f"plan_{u}" for u in USED),
                               *(f"run_{u}" for u in USED), "executing_s", "instructions",
                               "instructions_per_s", "token_cycles"], 1, arguments)
    racks = (1,) if arguments.quick else (1, 2, 4, 5, 8, 10)

    def measure(count):
        nodes = 8 * int(count)
        common = {"model": s.model(f"llama-2-70b-{nodes}-layers", **CONFIG, num_hidden_layers=nodes),
                  "nodes": nodes, "weights": "int8", "context": 2048}
        topology = study.racks_topology(count)
        plan = s.job("plan", **common, machine={"topology": topology, "chips": 8})
        run = s.job("run", **common, machine={"topology": topology}, tokens=1,
                    placement={"threads": 2})
        out = json.loads(run["report.json"])
        seconds, instructions = out["host"]["run_seconds"], out["emulated"]["instructions"]
        return [out["machine"]["chips"], *used(plan), *used(run), f"{seconds:.3f}", instructions,
                f"{instructions / seconds:.3g}", out["emulated"]["cycles_per_token"]]

    s.measure([(r,) for r in racks], measure)
    plt = study.pyplot()
    figure, (seconds, memory) = plt.subplots(1, 2, figsize=(10, 4.2))
    chips = s.column("chips")
    for name, label in (("plan_cpu_s", "plan, processor"), ("run_cpu_s", "run, processor"),
                        ("plan_s", "plan, wall"), ("run_s", "run, wall")):
        seconds.plot(chips, s.column(name), marker="o", label=label,
                     linestyle="-" if "cpu" in name else ":")
    for name in ("plan", "run"):
        memory.plot(chips, s.column(f"{name}_MB"), marker="o", label=name)
    seconds.set_ylabel("s, of the host")
    memory.set_ylabel("peak memory, MB")
    for axes in (seconds, memory):
        axes.set_xlabel("chips")
        axes.set_xlim(left=0)
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        axes.legend(fontsize=8)
    s.save(figure, "The emulator's own time and memory for a token of Llama-2-70B's layers, one a "
                   "node")


if __name__ == "__main__":
    main()
