#!/usr/bin/env python3
"""How the emulator's own time and memory grow from 1 to 10 racks: layers of Llama-2-70B in int8, one a
node and so eight a rack. `plan` chooses, compiles and weighs; `run` compiles, verifies and executes
one token on every chip. Times and memory are this host's (two threads; others may use it too).
"""
import json
import os
import pathlib
import subprocess
import tempfile
import time

import study

# Llama-2-70B's config.json but for the number of layers (meta-llama/Llama-2-70b-hf).
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8192,
          "intermediate_size": 28672, "num_attention_heads": 64, "num_key_value_heads": 8,
          "vocab_size": 32000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
          "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": 1,
          "eos_token_id": 2}


def used(command):
    """Wall seconds, processor seconds and peak memory in MB of a command that must succeed."""
    start = time.monotonic()
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"growth: {' '.join(map(str, command))}: status {status}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    arguments = study.parse_arguments(__doc__)
    if arguments.server:
        raise SystemExit("growth: --server has no effect here: it runs on this host alone")
    s = study.Study("growth", ["racks", "chips", "plan_s", "plan_cpu_s", "plan_MB", "run_s",
                               "run_cpu_s", "run_MB", "instructions", "token_cycles"], 1, arguments)
    racks = (1,) if arguments.quick else (1, 2, 4, 5, 8, 10)

    def measure(count):
        topology = "groqrack" if count == "1" else f"groqrack-x{count}"
        nodes = 8 * int(count)
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder)
            (model / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": nodes}))
            common = ["--model", model, "--topology", topology, "--nodes", nodes,
                      "--weights", "int8", "--context", 2048]
            report = model / "report.json"
            plan = used([arguments.lockstep, "plan", *common, "--tensor-parallel", 8])
            run = used([arguments.lockstep, "run", *common, "--engine", "timing", "--transport",
                        "local", "--threads", 2, "--prompt-ids", 1, "--tokens", 1, "--quiet",
                        "--report", report])
            out = json.loads(report.read_text())
        return [out["machine"]["chips"], *(f"{v:.1f}" for v in (*plan, *run)),
                out["emulated"]["instructions"], out["emulated"]["cycles_per_token"]]

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
    seconds.set_ylabel("s, of this host")
    memory.set_ylabel("peak memory, MB")
    for axes in (seconds, memory):
        axes.set_xlabel("chips")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    s.save(figure)


if __name__ == "__main__":
    main()
