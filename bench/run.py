#!/usr/bin/env python3
"""Runs the benchmarks of bench/ and prints one table: figure, value, what it is compared with.

    bench/run.py                          text
    bench/run.py --markdown FILE          and that table as Markdown, over the one in FILE
    bench/run.py --bin build/clang/bin    another build

Compared figures come from one run and the same processor, minutes apart at most: the ratios count,
the absolute values are this machine's. Times are processor time of the best of a few repetitions, so
that other work on the machine shows less; where wall time is meant it says so. Exit status 1 if a
target is missed, 2 if a benchmark fails.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- table: bench/run.py -->", "<!-- end of table -->"
COLUMNS = ("figure", "value", "compared with", "ratio", "target", "limited by")
ENV = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
           OMPI_MCA_rmaps_base_oversubscribe="1")


def note(text):
    print(f"... {text}", file=sys.stderr, flush=True)


def output_of(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=ENV,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()[-500:]}")
    return done.stdout


def google(binary, pattern, repetitions=4):
    """The best repetition of each benchmark that matches, by name."""
    note(f"{binary.name} {pattern}")
    text = output_of([binary, f"--benchmark_filter={pattern}", "--benchmark_min_time=0.05",
                      f"--benchmark_repetitions={repetitions}", "--benchmark_format=json"])
    best = {}
    for b in json.loads(text)["benchmarks"]:
        if b["run_type"] != "iteration":
            continue
        if b.get("error_occurred"):
            raise RuntimeError(f"{b['name']}: {b['error_message']}")
        name = b["name"].replace("/real_time", "")
        if name not in best or b["cpu_time"] < best[name]["cpu_time"]:
            best[name] = b
    return best


def run_model(binary, arguments):
    """A `lockstep run`: its report, and processor seconds and largest process of all of it."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        command = [str(binary), "run", "--model", str(ROOT / "models/story"), "--topology",
                   "groqnode", "--prompt", "Once upon a time", "--quiet", "--report", str(report)]
        start = time.monotonic()
        with open(pathlib.Path(folder) / "log", "w+", encoding="utf-8") as log:
            child = subprocess.Popen(command + arguments, stdout=log, stderr=log, env=ENV)
            _, status, use = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode != 0:
                log.seek(0)
                raise RuntimeError(f"{' '.join(command + arguments)}: {log.read()[-500:]}")
        return {"report": json.loads(report.read_text()), "wall": time.monotonic() - start,
                "cpu": use.ru_utime + use.ru_stime, "mib": use.ru_maxrss / 1024}


def giga(value, unit):
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}{unit}"
    return f"{value:.3g} {unit}"


class Table:
    def __init__(self):
        self.rows, self.missed = [], []

    def add(self, figure, value, against, ratio, limit, target="", met=True):
        if target:
            target += ": met" if met else ": MISSED"
        if not met:
            self.missed.append(figure)
        self.rows.append((figure, value, against, ratio, target, limit))

    def share(self, figure, value, unit, against, peak, limit):
        self.add(figure, giga(value, unit), f"{against}, {giga(peak, unit)}",
                 f"{100 * value / peak:.0f} %", limit)

    def text(self):
        lines = [COLUMNS] + self.rows
        widths = [max(len(r[i]) for r in lines) for i in range(len(COLUMNS))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths)).rstrip() for r in lines)

    def markdown(self):
        lines = [COLUMNS, ("---",) * len(COLUMNS)] + self.rows
        return "\n".join("| " + " | ".join(r) + " |" for r in lines)


def numerics(table, bin_dir):
    r = google(bin_dir / "numerics_bench", "HostM|HostR|Fp16/|Int8/")
    peak, memory = r["BM_HostMultiplyAdds"]["MAC/s"], r["BM_HostReadsMemory"]["B/s"]
    hot, cold = "rows:320", next(n for n in r if n.startswith("BM_Int8") and "rows:320" not in n)
    cold = cold.split("/")[1]
    host = "host's fp32 multiply-add peak"
    table.share("MXM int8, one activation", r[f"BM_Int8/{hot}"]["MAC/s"], "MAC/s", host, peak,
                "widening int8 to int16; pairs of products a lane, so it can pass the peak")
    for batch, limit in ((1, "widening fp16 to fp64, which sums need to round once"),
                         (16, "fp64 has half of the lanes: 50 % is the most")):
        value = r[f"BM_Fp16/{hot}/batch:{batch}"]["MAC/s"]
        plural = "activation" if batch == 1 else "activations"
        table.share(f"MXM fp16, {batch} {plural}", value, "MAC/s", host, peak, limit)
    table.share("Matrix-vector int8, weights in memory", r[f"BM_Int8/{cold}"]["B/s"], "B/s",
                "host reads memory", memory, "memory")
    table.share("Matrix-vector fp16, weights in memory", r[f"BM_Fp16/{cold}/batch:1"]["B/s"],
                "B/s", "host reads memory", memory, "widening, then memory")
    return memory


def engines(table, bin_dir, memory):
    r = google(bin_dir / "engine_bench", "Weight|ReadWrite")
    names = {"BM_WeightStreamF16/20": "fp16, weights in cache",
             "BM_WeightStreamF16/300": "fp16, weights in memory",
             "BM_WeightStreamI8/10": "int8, weights in cache",
             "BM_WeightStreamI8/150": "int8, weights in memory"}
    for name, what in names.items():
        b = r[name]
        table.add(f"Chip at full weight rate, {what}", giga(b["cycles"], "cycles/s"),
                  f"host reads memory, {giga(memory, 'B/s')}",
                  f"{100 * b['bytes_per_second'] / memory:.0f} %",
                  "the dot products; then stream look-ups, 128 a cycle",
                  ">= 300 k cycles/s", b["cycles"] >= 300e3)
    copies = r["BM_ReadWrite"]
    table.share("Stream reads and writes, MEM to MEM", copies["bytes_per_second"], "B/s",
                "host reads memory", memory,
                f"copying words that lie in memory; {giga(copies['dispatches'], 'dispatches/s')}")
    t = google(bin_dir / "timing_bench", "LongRuns|ShortRuns/8|NextChip")
    functional = copies["dispatches"]
    for name, what, limit in (
            ("LongRuns", "runs of 4096", "runs, not vectors: a run is one interval"),
            ("ShortRuns/8", "runs of 8", "listing each run's uses of SRAM and streams"),
            ("NextChip", "same program, next chip", "hashing 8 bytes a run")):
        rate = t[name]["vector_ops/s"]
        table.add(f"Timing engine, {what}", giga(rate, "vector ops/s"),
                  f"functional, {giga(functional, 'dispatches/s')}", f"{rate / functional:.0f} x",
                  limit)


def programs(table, bin_dir):
    r = google(bin_dir / "ffn_bench", ".")
    chip, plain = r["BM_FeedForward"]["cpu_time"], r["BM_PlainFeedForward"]["cpu_time"]
    table.add("Feed-forward step 576-1536-576, fp16", f"{chip:.2f} ms",
              f"plain fp32 loop, {plain:.2f} ms", f"{chip / plain:.2f} x",
              "the dot products, then loads of weights", "<= 3 ms", chip <= 3)
    nodes(table, bin_dir)


def nodes(table, bin_dir):
    """The built-in model, and random ones of common small shapes, beside a plain loop."""
    shapes = {"3M": "--hidden 192 --ffn 512 --layers 6 --heads 6 --kv-heads 6 --vocab 4096",
              "15M": "--hidden 288 --ffn 768 --layers 6 --heads 6 --kv-heads 6 --vocab 32000",
              "135M": "--hidden 576 --ffn 1536 --layers 30 --heads 9 --kv-heads 3 --vocab 49152"}
    with tempfile.TemporaryDirectory() as folder:
        folders = [ROOT / "models/story"]
        for name, shape in shapes.items():
            note(f"a random model of {name} parameters")
            folders.append(pathlib.Path(folder) / name)
            output_of([sys.executable, ROOT / "models/make_random.py", "--out", folders[-1],
                       "--tied", "--dtype", "F16"] + shape.split())
        note("node_bench")
        lines = output_of([bin_dir / "node_bench"] + folders).splitlines()[1:]
    for line in lines:
        if line.endswith("does not fit"):
            continue
        name, chips, dispatches, ms, ns, plain, _ = line.split()
        ratio = float(ms) / float(plain)
        table.add(f"A token of {name}, {chips} chip{'s' * (chips != '1')}", f"{float(ms):.2f} ms",
                  f"plain fp32 loop, {plain} ms", f"{ratio:.1f} x",
                  f"{dispatches} dispatches of {ns} ns, whatever a model's size",
                  "<= 4 x" if chips == "8" else "", chips != "8" or ratio <= 4)


def transports(table, bin_dir):
    note("lockstep run, both transports")
    tokens, binary = 50, bin_dir / "lockstep"
    runs = {}
    for name, flags in (("local", ["--transport", "local", "--threads", "1"]),
                        ("mpi", ["--transport", "mpi"])):
        few, many = (run_model(binary, flags + ["--tokens", str(n)]) for n in (1, tokens + 1))
        steps = many["report"]["emulated"]["steps"] - few["report"]["emulated"]["steps"]
        runs[name] = {"ms": (many["cpu"] - few["cpu"]) / steps * 1e3, "few": few, "many": many}
    local, mpi = runs["local"], runs["mpi"]
    output = [runs[n]["many"]["report"]["output"] for n in runs]
    same = all(output[0][k] == output[1][k] for k in ("ids", "timing_digest", "value_digest"))
    table.add("A step of the node over MPI, 8 ranks", f"{mpi['ms']:.2f} ms of all ranks",
              f"in process, {local['ms']:.2f} ms", f"{mpi['ms'] / local['ms']:.2f} x",
              "switching between ranks when there are fewer cores than ranks",
              "equal tokens and digests", same)
    for name, run in runs.items():
        start = run["few"]["report"]["host"]["start_seconds"]
        table.add(f"Start of a run, {name}", f"{start * 1e3:.0f} ms wall",
                  f"{run['few']['wall'] * 1e3:.0f} ms wall for all of a one-token run",
                  f"{100 * start / run['few']['wall']:.0f} %", "compiling each chip's program")
    timing = run_model(binary, ["--transport", "mpi", "--tokens", "1", "--engine", "timing"])
    sram = mpi["few"]["report"]["plan"]["sram_bytes_per_chip"]["used"] / 2**20
    table.add("Memory of a rank, functional", f"{mpi['few']['mib']:.0f} MiB resident",
              f"SRAM that the plan uses, {sram:.1f} MiB", f"{mpi['few']['mib'] / sram:.0f} x",
              "shared libraries, program; SRAM is backed when touched")
    table.add("Memory of a rank, timing", f"{timing['mib']:.0f} MiB resident", "SRAM of a chip, 220 MiB",
              f"{timing['mib'] / 220:.2f} x", "shared libraries")
    exchanges(table, bin_dir)


def exchanges(table, bin_dir):
    r = google(bin_dir / "transport_bench", "vectors:1/threads:1/payload:1", 3)
    here = next(iter(r.values()))["exchanges/s"]
    note("mpi_exchange")
    text = output_of(["mpirun", "-n", "8", bin_dir / "mpi_exchange"])
    for name, limit in (("shared memory", "a rank sleeps until another rings"),
                        ("MPI messages", "naps of 20 us to 1 ms between looks")):
        rate = float(re.search(rf"{name} +320 B a window, values +(\d+)", text).group(1))
        table.add(f"Ring exchange of 8 ranks, {name}", giga(rate, "exchanges/s wall"),
                  f"in process, one thread, {giga(here, 'exchanges/s wall')}", f"{rate / here:.2f} x",
                  "switching between ranks")
        idle = re.search(rf"{name} +one rank worked ([\d.]+) .* took ([\d.]+) together", text)
        worked, waited = float(idle.group(1)), float(idle.group(2))
        table.add(f"7 ranks that wait, {name}", f"{waited * 1e3:.0f} ms of processor",
                  f"the rank they wait for, {worked * 1e3:.0f} ms", f"{100 * waited / worked:.1f} %",
                  limit)


def write_markdown(path, table, command):
    """Replaces what stands between the two marks."""
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise RuntimeError(f"{path} has no {BEGIN} ... {END}")
    path.write_text(f"{head}{BEGIN}\n`{command}` on {machine()}:\n\n{table.markdown()}\n{END}{tail}",
                    encoding="utf-8")


def machine():
    """Processor name and core count, as the kernel tells them."""
    info = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"model name\s*: (.*)", info)
    load = os.getloadavg()[1]
    return f"{name.group(1) if name else 'this host'}, {os.cpu_count()} cores, load average {load:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE")
    arguments = parser.parse_args()
    bin_dir, table = arguments.bin.resolve(), Table()
    try:
        memory = numerics(table, bin_dir)
        engines(table, bin_dir, memory)
        programs(table, bin_dir)
        transports(table, bin_dir)
        print(table.text())
        if arguments.markdown:
            write_markdown(arguments.markdown, table, "bench/run.py")
    except (RuntimeError, OSError) as error:
        print(f"bench/run.py: {error}", file=sys.stderr)
        return 2
    for figure in table.missed:
        print(f"missed: {figure}", file=sys.stderr)
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
