"""Collectives and a model over MPI: one digest however chips are packed, on one host and several.

Usage: collective_smoke.py BIN SOURCE CASE
"""
import os
import re
import subprocess
import sys

BIN, SOURCE, CASE = sys.argv[1:4]
LOCKSTEP = os.path.join(BIN, "lockstep")
CHIP = os.path.join(BIN, "lockstep-chip")
HOSTS = os.path.join(SOURCE, "scripts", "host_namespaces.py")
SKIPPED = 77
TIMEOUT = 300


def execute(*command, expect=0):
    """Standard output and error; ends the test as skipped where the command is."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode == SKIPPED:
        print(done.stderr)
        sys.exit(SKIPPED)
    assert done.returncode == expect, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def digests(text):
    """What must not depend on the host: both digests and the cycles."""
    found = re.search(r"timing ([0-9a-f]{16}), values ([0-9a-f]{16})", text)
    cycles = re.search(r"(?:cycles +|token +)(\d+)", text)
    assert found and cycles, text
    return found.groups() + cycles.groups()


def packing():
    """--chips-per-rank 1, 8 and auto give what one process gives; auto says what it chose."""
    arguments = ["collective", "--topology", "groqrack", "--chips", "16", "--bytes", "30000",
                 "--engine", "functional"]
    local = digests(execute(LOCKSTEP, *arguments)[0])
    for each in ("1", "8", "auto"):
        out, error = execute(LOCKSTEP, *arguments, "--transport", "mpi", "--chips-per-rank", each)
        assert digests(out) == local, (each, out)
        ranks = int(re.search(r"(\d+) on 1 host", out).group(1))
        cores = len(os.sched_getaffinity(0))
        expected = {"1": 16, "8": 2}.get(each) or -(-16 // -(-16 // cores))
        assert ranks == expected, (each, out)
        assert (f"16 chips in {ranks} ranks" in error) == (each == "auto"), error
    execute(LOCKSTEP, *arguments, "--transport", "mpi", "--chips-per-rank", "0", expect=2)
    execute(LOCKSTEP, *arguments, "--chips-per-rank", "2", expect=2)


def model_packing():
    """The same of a model; auto in ranks started by hand follows from their number."""
    run = ["--model", os.path.join(SOURCE, "models", "story"), "--topology", "groqnode",
           "--prompt", "One day", "--tokens", "3"]
    local = digests(execute(LOCKSTEP, "run", *run, "--transport", "local")[0])
    for each in ("1", "auto"):
        out, error = execute(LOCKSTEP, "run", *run, "--chips-per-rank", each)
        assert digests(out) == local, (each, out)
        assert ("8 chips in " in error) == (each == "auto"), error
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    out, _ = execute("mpirun", *root, "--oversubscribe", "--bind-to", "none", "--mca", "pml", "ob1",
                     "-n", "2", CHIP, *run, "--chips-per-rank", "auto")
    assert digests(out) == local, out
    # A pipeline, packed across its nodes.
    nodes = ["--model", os.path.join(SOURCE, "models", "story"), "--topology", "groqrack",
             "--nodes", "3", "--prompt-ids", "1,5", "--tokens", "2"]
    local = digests(execute(LOCKSTEP, "run", *nodes, "--transport", "local")[0])
    for each in ("1", "5", "8", "auto"):
        out, _ = execute(LOCKSTEP, "run", *nodes, "--chips-per-rank", each)
        assert digests(out) == local, (each, out)


def sent(error):
    """Bytes that left each host."""
    return [int(n) for n in re.findall(r"host \d+ sent (\d+) B", error)]


def hosts():
    """Ranks on several hosts, which share no memory, give what one process gives."""
    node = ["collective", "--topology", "groqnode", "--bytes", "65536", "--engine", "functional"]
    local = digests(execute(LOCKSTEP, *node)[0])
    out, error = execute(HOSTS, "4", "2", CHIP, *node)
    assert digests(out) == local and "8 on 4 hosts" in out, out
    # Each chip sends 392 vectors to its seven peers, six of which are on other hosts.
    assert min(sent(error)) > 2 * 392 * 6 // 7 * 320, error

    rack = ["collective", "--topology", "groqrack", "--bytes", "320", "--engine", "functional"]
    local = digests(execute(LOCKSTEP, *rack)[0])
    out, error = execute(HOSTS, "3", "3", CHIP, *rack, "--chips-per-rank", "8")
    assert digests(out) == local and "9 on 3 hosts" in out, out

    run = ["--model", os.path.join(SOURCE, "models", "story"), "--topology", "groqnode",
           "--prompt", "One day", "--tokens", "3"]
    local = digests(execute(LOCKSTEP, "run", *run, "--transport", "local")[0])
    out, error = execute(HOSTS, "2", "2", CHIP, *run, "--chips-per-rank", "2")
    assert digests(out) == local, out
    # A pipeline, a node a host.
    nodes = ["--model", os.path.join(SOURCE, "models", "story"), "--topology", "groqrack",
             "--nodes", "3", "--prompt-ids", "1,5", "--tokens", "2"]
    local = digests(execute(LOCKSTEP, "run", *nodes, "--transport", "local")[0])
    out, error = execute(HOSTS, "3", "1", CHIP, *nodes, "--chips-per-rank", "8")
    assert digests(out) == local, out
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True,
                          check=True).stdout
    assert not re.search(r"^ls\d+h", left, re.MULTILINE), left


{"packing": packing, "model_packing": model_packing, "hosts": hosts}[CASE]()
