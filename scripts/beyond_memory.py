#!/usr/bin/python3
"""Runs a model that is larger than the memory it may use, and compares with a run in plenty of memory.

    beyond_memory.py --lockstep build/release/bin/lockstep [--memory 1073741824 --layers 12 ...]

Writes a checkpoint of random weights (models/make_random.py) into a temporary folder and runs it three
times on the functional engine, in one process:

    1. as it is                               digests and logits to compare with
    2. in --memory bytes, with --sram-limit   must give the same
    3. in --memory bytes, without it          must be ended by the kernel: shows that the limit holds

The limit is a memory control group (version 1 or 2) of the command alone: anonymous memory and pages of
files together, no swap. Where none can be made, exit code 77. The defaults are twelve layers of
Llama-2-7B's shape, 4.9 GB, in 1 GiB. Needs python3-numpy.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MAKE_RANDOM = os.path.join(HERE, "..", "models", "make_random.py")
SHAPE = {"hidden": 4096, "ffn": 11008, "layers": 12, "heads": 32, "kv-heads": 32, "vocab": 512,
         "context": 64}
SKIPPED, KILLED = 77, -9
POLL_SECONDS = 0.02


class ControlGroup:
    """A child of this process's memory control group with a limit; `peaks` after a command."""

    def __init__(self, limit):
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            groups = dict(line.strip().split(":", 2)[1:] for line in file)
        self.old = "memory" in groups
        top = "/sys/fs/cgroup/memory" if self.old else "/sys/fs/cgroup"
        own = groups["memory"] if self.old else groups.get("", "/")
        self.folder = os.path.join(top + own.rstrip("/"), f"lockstep-{os.getpid()}")
        os.mkdir(self.folder)
        try:
            self.write("memory.limit_in_bytes" if self.old else "memory.max", limit)
            self.forbid_swap(limit)
        except OSError:
            self.remove()
            raise

    def forbid_swap(self, limit):
        name, value = ("memory.memsw.limit_in_bytes", limit) if self.old else ("memory.swap.max", 0)
        if os.path.exists(os.path.join(self.folder, name)):
            self.write(name, value)

    def write(self, name, value):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(str(value))

    def usage(self):
        """(anonymous, all) bytes at this moment."""
        with open(os.path.join(self.folder, "memory.stat"), encoding="utf-8") as file:
            stat = dict(line.split() for line in file)
        name = "memory.usage_in_bytes" if self.old else "memory.current"
        with open(os.path.join(self.folder, name), encoding="utf-8") as file:
            return int(stat["rss" if self.old else "anon"]), int(file.read())

    def run(self, command):
        """The finished process, and the most (anonymous, all) bytes seen while it ran."""
        most, done = (0, 0), threading.Event()

        def look():
            nonlocal most
            while not done.wait(POLL_SECONDS):
                most = tuple(map(max, most, self.usage()))

        # The shell moves itself into the group, and becomes the command.
        enter = ["sh", "-c", 'echo $$ > "$0" && exec "$@"',
                 os.path.join(self.folder, "cgroup.procs")]
        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            process = subprocess.run([*enter, *command], capture_output=True, text=True, check=False)
        finally:
            done.set()
            watcher.join()
        return process, most

    def remove(self):
        os.rmdir(self.folder)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lockstep", required=True, help="the executable")
    parser.add_argument("--memory", type=int, default=1 << 30, help="bytes (default 1 GiB)")
    parser.add_argument("--topology", default="groqrack-x2")
    parser.add_argument("--nodes", type=int, default=12, help="stages of the pipeline (default 12)")
    parser.add_argument("--chips", type=int, default=8, help="of each node (default 8)")
    parser.add_argument("--tokens", type=int, default=2, help="to generate (default 2)")
    for name, default in SHAPE.items():
        parser.add_argument("--" + name, type=int, default=default, help=f"default {default}")
    return parser.parse_args()


def write_checkpoint(args, folder):
    """Writes it, in files of about a layer; returns its bytes."""
    shape = [f"--{name}={getattr(args, name.replace('-', '_'))}" for name in SHAPE]
    subprocess.run([sys.executable, "-B", MAKE_RANDOM, "--out", folder, "--dtype", "F16",
                    f"--shards={args.layers}", *shape], check=True)
    return sum(entry.stat().st_size for entry in os.scandir(folder))


class Run:
    def __init__(self, args, model, folder, name, *more):
        self.report = os.path.join(folder, name + ".json")
        self.logits = os.path.join(folder, name + ".logits")
        # One thread: each that compiles holds a program of its own.
        self.command = [args.lockstep, "run", "--transport", "local", "--threads", "1", "--model", model,
                        "--topology", args.topology, "--nodes", str(args.nodes), "--chips",
                        str(args.chips), "--prompt-ids", "1,5", "--tokens", str(args.tokens),
                        "--ignore-eos", "--quiet", "--report", self.report, "--logits", self.logits,
                        *more]

    def results(self):
        """Everything that must be the same."""
        with open(self.report, encoding="utf-8") as file:
            report = json.load(file)
        with open(self.logits, "rb") as file:
            return report["output"], file.read()


def plenty(run):
    start = time.monotonic()
    process = subprocess.run(run.command, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        sys.exit(f"beyond_memory.py: exit code {process.returncode}: {process.stderr.strip()}")
    print(f"in plenty of memory: {time.monotonic() - start:.1f} s", flush=True)
    return run.results()


def limited(group, run, must_end_well):
    start = time.monotonic()
    process, (anonymous, everything) = group.run(run.command)
    print(f"with{'' if must_end_well else 'out'} --sram-limit: "
          f"{'ended well' if process.returncode == 0 else f'exit code {process.returncode}'}, "
          f"{time.monotonic() - start:.1f} s, at most {anonymous / 1e6:.0f} MB anonymous, "
          f"{everything / 1e6:.0f} MB with pages of files", flush=True)
    if must_end_well != (process.returncode == 0):
        sys.exit(f"beyond_memory.py: not as expected: {process.stderr.strip()}")
    if not must_end_well and process.returncode not in (KILLED, 128 - KILLED):
        sys.exit(f"beyond_memory.py: not ended by the kernel: {process.stderr.strip()}")


def main():
    args = parse_arguments()
    try:
        group = ControlGroup(args.memory)
    except (OSError, KeyError) as error:
        print(f"beyond_memory.py: skipped, no memory control group here: {error}")
        sys.exit(SKIPPED)
    try:
        with tempfile.TemporaryDirectory() as folder:
            model = os.path.join(folder, "model")
            size = write_checkpoint(args, model)
            print(f"checkpoint of {size / 1e6:.0f} MB, memory of {args.memory / 1e6:.0f} MB: "
                  f"{size / args.memory:.1f} times larger", flush=True)
            want = plenty(Run(args, model, folder, "plenty"))
            visits = Run(args, model, folder, "visits", "--sram-limit", str(args.memory))
            limited(group, visits, True)
            if visits.results() != want:
                sys.exit("beyond_memory.py: digests or logits differ")
            print(f"the same: timing {want[0]['timing_digest']}, values {want[0]['value_digest']}")
            limited(group, Run(args, model, folder, "all"), False)
    finally:
        group.remove()


if __name__ == "__main__":
    main()
