#!/usr/bin/python3
"""Layers of a true shape, with seeded weights, on one emulated node against double precision.

    layer_check.py --lockstep build/release/bin/lockstep [--ffn 28672 --layers 1 --positions 2 ...]

Writes a checkpoint (make_random.py) into a temporary folder, runs it on the functional engine and in
numpy (check.py), and prints how far the logits are apart and how large they are. Exit code 1 if any
logit is more than --tolerance standard deviations off. The defaults are a layer of Llama-2-70B with
512 rows of vocabulary: 1.7 GB of weights, which stay in their file. Needs python3-numpy.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

import check

SHAPE = {"hidden": 8192, "ffn": 28672, "layers": 1, "heads": 64, "kv-heads": 8, "vocab": 512,
         "context": 64, "seed": 1}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lockstep", required=True, help="the executable")
    parser.add_argument("--topology", default="groqnode")
    parser.add_argument("--chips", type=int, help="of the node (default: all)")
    parser.add_argument("--positions", type=int, default=2, help="ids fed (default 2)")
    parser.add_argument("--tolerance", type=float, default=0.02, help="default 0.02")
    for name, default in SHAPE.items():
        parser.add_argument("--" + name, type=int, default=default, help=f"default {default}")
    args = parser.parse_args()
    if not 1 <= args.positions <= args.context:
        parser.error(f"--positions {args.positions}: the context has {args.context}")
    return args


def timed(what, call):
    """What `call` returns; says how long it took and the most memory of any process so far."""
    start = time.monotonic()
    result = call()
    most = max(resource.getrusage(who).ru_maxrss
               for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"{what}: {time.monotonic() - start:.1f} s, at most {most / 2**20:.2f} GiB", flush=True)
    return result


def write_weights(args, folder):
    shape = [f"--{name}={getattr(args, name.replace('-', '_'))}" for name in SHAPE]
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run([sys.executable, "-B", os.path.join(here, "make_random.py"), "--out", folder,
                    "--dtype", "F16", *shape], check=True)


def emulate(args, folder, ids):
    """Logits of every position, by the functional engine."""
    path = os.path.join(folder, "logits")
    command = [args.lockstep, "run", "--transport", "local", "--model", folder, "--topology",
               args.topology, "--prompt-ids", ",".join(map(str, ids)), "--tokens", "1",
               "--logits", path]
    if args.chips:
        command += ["--chips", str(args.chips)]
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")
    return np.fromfile(path, "<f4").reshape(len(ids), args.vocab)


def reference(folder, ids):
    model = check.Llama(folder, mapped=True)
    return np.array([model.step(token) for token in ids])


def main():
    args = parse_arguments()
    ids = [(7 * i + 3) % args.vocab for i in range(args.positions)]
    with tempfile.TemporaryDirectory() as folder:
        timed("weights written", lambda: write_weights(args, folder))
        try:
            got = timed("emulated", lambda: emulate(args, folder, ids))
        except subprocess.CalledProcessError as error:
            sys.exit(f"layer_check.py: {error.stderr.strip()}")
        want = timed("double precision", lambda: reference(folder, ids))
    worst, spread = np.abs(got - want).max(), want.std()
    print(f"largest difference {worst:.6f} of logits with a standard deviation of {spread:.3f}: "
          f"{worst / spread:.6f}, allowed {args.tolerance}")
    sys.exit(0 if worst <= args.tolerance * spread else 1)


if __name__ == "__main__":
    main()
