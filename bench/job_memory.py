#!/usr/bin/python3
"""What jobs take of memory beside what admission expects of them (runtime/jobs/needs.h).

    job_memory.py BIN_DIR SOURCE_DIR [--models FOLDER] [--model NAME]... [--all]

Each job runs alone under a controller; memory is that which its limit counts: anonymous and shared
pages of all its processes, looked at every 20 ms. --model: more models to generate with, of FOLDER.
--all: also machines of racks, which take minutes. Ends with 1 if a job took more than was expected.
"""

import argparse
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "controller"))
# pylint: disable=wrong-import-position
from harness import Controller, job_pb2, marked


def memory_of(pid):
    """KiB, as runtime/jobs/process_table.h counts them."""
    total = 0
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1])
    except OSError:
        pass
    return total


class Peak(threading.Thread):
    """The most that the jobs of a store hold at once."""

    def __init__(self, store):
        super().__init__(daemon=True)
        self.store, self.stop, self.kib = store, False, 0

    def run(self):
        while not self.stop:
            self.kib = max(self.kib, sum(memory_of(p[0]) for p in marked(self.store)))
            time.sleep(0.02)


def generate(model, topology, tokens, **more):
    """A generate job."""
    return {"generate": {"model": model, "machine": {"topology": topology}, "promptIds":
                         {"ids": [1]}, "tokens": tokens, "ignoreEos": True, **more}}


def timing(model, topology, **more):
    """A run job."""
    return {"run": {"model": model, "machine": {"topology": topology}, "tokens": 1, **more}}


def jobs(models, everything):
    """Names and specs."""
    local = {"placement": {"threads": 1}}
    for model in ["story", *models]:
        yield f"generate {model}, 1 chip, 1 process", generate(model, "groqcard", 100, **local)
        yield f"generate {model}, 8 chips, 1 process", generate(model, "groqnode", 100, **local)
        yield f"generate {model}, 8 chips, 8 ranks", generate(model, "groqnode", 100)
        yield f"generate {model}, int8, 8 ranks", generate(model, "groqnode", 100, weights="int8")
        yield f"generate {model}, 2 nodes, 2 ranks", generate(
            model, "groqrack", 100, nodes=2, placement={"rankPerCore": True})
    yield "run story, 8 chips, 8 ranks", timing("story", "groqnode")
    yield "run llama-2-7b, 1 process", timing("llama-2-7b", "groqrack-x2", context=64, **local)
    yield "the same with a timeline", timing("llama-2-7b", "groqrack-x2", context=64,
                                             keepTimeline=True, **local)
    several = {"promptTokens": 16, "weights": "int8", "nodes": 8, "context": 64, **local}
    yield "run llama-2-7b, int8, 8 nodes, a batch", timing("llama-2-7b", "groqrack", **several)
    yield "the same, 4 sequences", timing("llama-2-7b", "groqrack", sequences=4, **several)
    yield "plan llama-2-7b", {"plan": {"model": "llama-2-7b", "machine": {"topology":
                                                                         "groqrack-x8"}}}
    yield "validate", {"validate": {}}
    sweep = {"kinds": ["all_reduce", "all_gather", "reduce_scatter", "all_to_all"],
             "bytes": [2 ** n for n in range(3, 30)], "baseline": "dgx-h100"}
    yield "sweep of 4", {"collectiveSweep": {**sweep, "machine": {"topology": "groqnode"}}}
    yield "the same, baseline only", {"collectiveSweep": {**sweep, "baselineOnly": True}}
    if everything:
        yield "run llama-2-70b, 10 racks", timing("llama-2-70b", "groqrack-x10", context=64, **local)
        yield "the same, 2 ranks", timing("llama-2-70b", "groqrack-x10", context=64,
                                          placement={"rankPerCore": True})
        yield "plan llama-2-70b", {"plan": {"model": "llama-2-70b",
                                            "machine": {"topology": "groqrack-x10"}}}


def main():
    """A row a job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("source")
    parser.add_argument("--models")
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    flags = [f"--models={options.source}/models"]
    if options.models:
        flags.append(f"--models={options.models}")
    beyond = 0
    print(f"{'job':40} {'expected':>10} {'measured':>10}  MiB")
    with Controller("--memory-bytes=1000000000000", *flags) as controller:
        with controller.client() as client:
            for name, spec in jobs(options.model, options.all):
                peak = Peak(controller.store)
                peak.start()
                job = client.follow(client.submit(spec).id, must_succeed=False)
                peak.stop = True
                peak.join()
                expected, measured = job.needs.memory_bytes / 2**20, peak.kib / 2**10
                beyond += measured > expected
                state = "" if job.state == job_pb2.SUCCEEDED else job.failure.message
                print(f"{name:40} {expected:10.1f} {measured:10.1f}  "
                      f"{'more than expected ' if measured > expected else ''}{state}", flush=True)
    return int(beyond > 0)


if __name__ == "__main__":
    sys.exit(main())
