#!/usr/bin/python3
"""`lockstep run` over MPI, as a user runs it. One case a call:

    run_smoke.py BIN_DIR SOURCE_DIR same|by_hand|killed|stopped|abandoned|errors|heads|int8|int8_cache|
               prefill|stories|tiny

The cases `stories` and `tiny` need checkpoints that are not part of the tree: $LOCKSTEP_SHARED, or
../shared beside it. Without them the exit code is 77, which ctest counts as skipped.
"""

import array
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

BIN, SOURCE, CASE = sys.argv[1:4]
LOCKSTEP = os.path.join(BIN, "lockstep")
SHARED = os.environ.get("LOCKSTEP_SHARED", os.path.join(SOURCE, "..", "shared"))
STORY = ["--model", os.path.join(SOURCE, "models", "story"), "--topology", "groqnode"]
TIMEOUT = 120
ROOT = ["--allow-run-as-root"] if os.geteuid() == 0 else []
MPIRUN = ["mpirun", *ROOT, "--oversubscribe", "--bind-to", "none", "--mca", "pml", "ob1"]

# With more than a rank a chip or with several chips a rank: ranks 8, 4, 2; then in one process.
PLACES = [
    [],
    ["--chips-per-rank", "2"],
    ["--chips-per-rank", "4"],
    ["--transport", "local"],
    ["--transport", "local", "--threads", "2"],
]


def run(*arguments, expect=0):
    """Output of `lockstep run`, after checking its exit code."""
    command = [LOCKSTEP, "run", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == expect, (command, done.returncode, done.stdout, done.stderr)
    return done


def deterministic(path):
    """A report without what depends on the host."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    del report["host"]
    return report


def same(folder):
    """One report for every way to spread the chips over processes, and for every repetition."""
    report = os.path.join(folder, "r.json")
    trace = os.path.join(folder, "t.json")
    first = None
    for engine in (["--engine", "functional"], ["--engine", "timing"]):
        for place in PLACES + PLACES[:1]:
            run(*STORY, "--prompt", "Nora was", "--tokens", "12", *engine, *place,
                "--report", report, "--timeline", trace)
            with open(trace, encoding="utf-8") as file:
                events = file.read()
            now = deterministic(report)
            if first is None:
                first = (now, events)
            if engine[1] == "functional":
                assert now == first[0], (place, now, first[0])
            digest = now["output"]["timing_digest"]
            assert digest == first[0]["output"]["timing_digest"], (engine, place)
            assert events == first[1], (engine, place, "another timeline")
        print(engine[1], "timing digest", digest)


def by_hand(folder):
    """mpirun and a host file, without `lockstep run`."""
    hosts = os.path.join(folder, "hosts")
    with open(hosts, "w", encoding="utf-8") as file:
        file.write("localhost slots=8\n")
    arguments = [*STORY, "--prompt", "Nora was", "--tokens", "5", "--quiet"]
    expected = run(*arguments).stdout
    command = [*MPIRUN, "--hostfile", hosts, "-n", "8", os.path.join(BIN, "lockstep-chip")]
    done = subprocess.run(command + arguments, capture_output=True, text=True, timeout=TIMEOUT,
                          check=True)
    assert done.stdout == expected, (done.stdout, expected)
    command[command.index("-n") + 1] = "3"
    done = subprocess.run(command + arguments, capture_output=True, text=True, timeout=TIMEOUT,
                          check=False)
    assert done.returncode != 0
    assert "8 chips at 1 a rank need 8 MPI ranks, not 3" in done.stderr, done.stderr
    assert done.stderr.count("lockstep-chip: ") == 1, done.stderr


def children(pid):
    """Process ids of the children of `pid`, with their names."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                text = file.read()
        except OSError:
            continue  # it has just ended
        name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 1:].split()
        if int(rest[1]) == pid and rest[0] != "Z":
            found[int(entry)] = name
    return found


def until(condition, what):
    """Looks again and again for a truth that other processes bring about."""
    deadline = time.monotonic() + TIMEOUT
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        os.sched_yield()
    return value


def alive(pids):
    """Those of `pids` that have not ended."""
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}/exe") and _state(pid) != "Z"]


def _state(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def long_run():
    """A run that shows its first text: the Popen, mpirun's id, and the ranks' by number."""
    arguments = ["--prompt", "Nora was", "--tokens", "250", "--ignore-eos", "--quiet"]
    # pylint: disable-next=consider-using-with
    process = subprocess.Popen([LOCKSTEP, "run", *STORY, *arguments], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    mpirun = next(iter(children(process.pid)))
    ranks = sorted(p for p, name in children(mpirun).items() if name.startswith("lockstep-chip"))
    assert len(ranks) == 8, ranks
    return process, mpirun, ranks


def rank_number(pid):
    """The MPI rank of a process, which its environment holds."""
    with open(f"/proc/{pid}/environ", "rb") as file:
        return int(re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", file.read()).group(1))


def killed(_):
    """A killed rank ends the run with one line that names it, and nothing stays."""
    process, mpirun, ranks = long_run()
    number = rank_number(ranks[3])
    os.kill(ranks[3], signal.SIGKILL)
    _, error = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1, process.returncode
    assert error == f"lockstep: rank {number} was ended by signal 9 (Killed)\n", error
    until(lambda: not alive([mpirun, *ranks]), "ranks outlive a killed one")


def stopped(_):
    """SIGTERM and SIGINT end all processes."""
    for number in (signal.SIGTERM, signal.SIGINT):
        process, mpirun, ranks = long_run()
        os.kill(process.pid, number)
        _, error = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 1, process.returncode
        assert error.startswith("lockstep: stopped by "), error
        until(lambda: not alive([mpirun, *ranks]), "ranks outlive the run")


def abandoned(_):
    """Ranks end when the command, or mpirun, is killed."""
    process, mpirun, ranks = long_run()
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=TIMEOUT)
    until(lambda: not alive([mpirun, *ranks]), "ranks outlive a killed command")
    process, mpirun, ranks = long_run()
    os.kill(mpirun, signal.SIGKILL)
    _, error = process.communicate(timeout=TIMEOUT)
    assert "mpirun was ended by signal 9" in error, error
    until(lambda: not alive([mpirun, *ranks]), "ranks outlive a killed mpirun")


def errors(folder):
    """What is wrong with the input is said once, before any rank starts; a full disk by rank 0."""
    short = os.path.join(folder, "m")
    os.makedirs(short)
    for name in ("config.json", "tokenizer.model", "model.safetensors"):
        with open(os.path.join(STORY[1], name), "rb") as file:
            content = file.read()
        with open(os.path.join(short, name), "wb") as file:
            file.write(content[:20000])
    prompt = ["--prompt", "a", "--tokens", "2"]
    cases = [
        (["--model", "/nosuch", *STORY[2:], *prompt], 1, "no such folder"),
        (["--model", short, *STORY[2:], *prompt], 1, "model.safetensors"),
        ([*STORY[:2], "--topology", "nosuch", *prompt], 1, "unknown topology"),
        ([*STORY[:2], "--topology", "groqcard", "--chips", "8", *prompt], 1, "groqcard has 1"),
        ([*STORY, *prompt, "--threads", "2"], 2, "--threads has no effect"),
        ([*STORY, *prompt, "--report", "/dev/full"], 1, "/dev/full: No space left on device"),
        ([*STORY, *prompt, "--timeline", "/nosuch/t"], 1, "/nosuch/t: No such file or directory"),
    ]
    for arguments, code, says in cases:
        error = run(*arguments, expect=code).stderr
        assert error.startswith("lockstep: ") and says in error, error
        assert error.count("\n") == 1, error
    path = dict(os.environ, PATH="/nosuch")
    done = subprocess.run([LOCKSTEP, "run", *STORY, *prompt], env=path, capture_output=True,
                          text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 1 and "cannot start mpirun" in done.stderr, done.stderr


def heads(folder):
    """Random models with wide heads and with many query heads, against models/check.py."""
    tools = [os.path.join(SOURCE, "models", name) for name in ("make_random.py", "check.py")]
    ids, logits, want = "5,9,2,7,7,1", os.path.join(folder, "l"), os.path.join(folder, "w")
    python = [sys.executable, "-B"]
    for i, shape in enumerate(("--heads 3 --kv-heads 1 --head-dim 322 --hidden 72",
                               "--heads 34 --kv-heads 2 --head-dim 6 --hidden 70 --dtype BF16")):
        model = os.path.join(folder, f"m{i}")
        subprocess.run([*python, tools[0], "--out", model, *shape.split()], check=True,
                       timeout=TIMEOUT, stdout=subprocess.DEVNULL)
        subprocess.run([*python, tools[1], "--model", model, "--prompt-ids", ids, "--tokens", "1",
                        "--logits", want], check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)
        for place in ([], ["--transport", "local", "--chips", "1"]):
            run("--model", model, *STORY[2:], "--prompt-ids", ids, "--tokens", "1",
                "--logits", logits, *place)
            got, expected = read_floats(logits), read_floats(want)
            size = max(map(abs, expected))
            worst = difference(got, expected)
            print(f"{shape}: largest logit difference {worst:.5f} of {size:.2f}")
            # As for tiny_llama: two layers round to 11 bits some ten times on the way.
            assert worst <= 10 * size * 2**-11, worst


def int8(folder):
    """--weights int8 against the integers of models/quantised.py, and one digest everywhere."""
    tools = [os.path.join(SOURCE, "models", name) for name in ("make_random.py", "check.py")]
    python = [sys.executable, "-B"]
    logits, want, report = (os.path.join(folder, name) for name in "lwr")
    models = [(STORY[1], "1,403,407,262,385,283", "8"), (STORY[1], "1,403,407,262,385,283", "3")]
    for i, shape in enumerate(("--heads 6 --kv-heads 2 --hidden 72 --ffn 700 --dtype BF16",
                               "--heads 3 --kv-heads 1 --head-dim 322 --hidden 330 --dtype F16",
                               "--heads 9 --kv-heads 9 --head-dim 4 --hidden 36 --tied",
                               # Several groups of words with a scale each.
                               "--heads 10 --kv-heads 5 --hidden 1600 --ffn 4100 --dtype F16")):
        models.append((os.path.join(folder, f"m{i}"), "1,2,3,4,5,6" if i < 3 else "7,2,9,4", "3"))
        subprocess.run([*python, tools[0], "--out", models[-1][0], *shape.split()], check=True,
                       timeout=TIMEOUT, stdout=subprocess.DEVNULL)
    for model, ids, chips in models:
        prompt = ["--prompt-ids", ids, "--tokens", "1", "--chips", chips]
        subprocess.run([*python, tools[1], "--model", model, *prompt, "--weights", "int8",
                        "--logits", want], check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)
        machine = ["--model", model, *STORY[2:], *prompt, "--weights", "int8", "--report", report,
                   "--prefill-batch"]
        digests = set()
        for place in (["--engine", "timing", "--transport", "local"],
                      ["--chips-per-rank", "4", "--logits", logits],
                      ["--transport", "local", "--logits", logits]):
            run(*machine, "1", *place)
            digests.add(deterministic(report)["output"]["timing_digest"])
        assert len(digests) == 1, digests
        expected = read_floats(want)
        size, positions = max(map(abs, expected)), ids.count(",") + 1
        got, row = read_floats(logits), len(expected) // positions
        run(*machine, "4", *PLACES[3], "--logits", logits)
        assert read_floats(logits) == got, "batches"
        worst = sorted(difference(got[i:i + row], expected[i:i + row])
                       for i in range(0, len(expected), row))
        print(f"{os.path.basename(model)} on {chips} chips: {worst} of {size:.2f}")
        # Two layers of fp32 roundings, but where one of them tips a value over a tie of fp16 or int8.
        assert len(worst) == positions and worst[positions // 2] <= 1e-5 * size, worst
        assert worst[-1] <= size / 64, worst


def int8_cache(folder):
    """--kv int8 against models/check.py, with weights of both formats, and one digest everywhere."""
    ids = "1,403,407,262,385,283,5,9,2,7,7,1,403,407,262,385,283,5"
    logits, want, report = (os.path.join(folder, name) for name in "lwr")
    prompt = ["--prompt-ids", ids, "--tokens", "1"]
    for stored, weights in (("stored", "fp16"), ("int8", "int8")):
        chips = ["--chips", "8"] if weights == "int8" else []
        subprocess.run([sys.executable, "-B", os.path.join(SOURCE, "models", "check.py"), *prompt,
                        "--model", STORY[1], "--weights", stored, *chips, "--kv", "int8",
                        "--logits", want], check=True, timeout=TIMEOUT, stdout=subprocess.DEVNULL)
        machine = [*STORY, *prompt, "--weights", weights, "--kv", "int8", "--report", report]
        digests = set()
        for place in (["--engine", "timing", "--transport", "local"],
                      [*PLACES[2], "--logits", logits], [*PLACES[4], "--logits", logits]):
            run(*machine, "--prefill-batch", "1", *place)
            digests.add(deterministic(report)["output"]["timing_digest"])
        assert len(digests) == 1, digests
        got, expected = read_floats(logits), read_floats(want)
        size = max(map(abs, expected))
        worst = difference(got, expected)
        print(f"weights {weights}: largest logit difference {worst:.5f} of {size:.2f}")
        # Roundings, and integers that they tip over a tie.
        assert worst <= size / 64, worst
        run(*machine, "--prefill-batch", "16", *PLACES[3], "--logits", logits)
        assert read_floats(logits) == got, "batches"
    run(*STORY, *prompt, "--kv", "fp16", *PLACES[3], "--logits", logits)
    assert difference(read_floats(logits), got) > 1e-4  # it is not the same cache


def prefill(folder):
    """Batches of a prompt give the logits, to the bit, of its ids one by one, wherever chips run."""
    ids = ",".join(map(str, range(3, 44)))  # two batches of 16 and nine ids more, or ten of 4 and one
    report, logits = os.path.join(folder, "r"), os.path.join(folder, "l")
    rows, digests = None, {}
    for batch in ("1", "4", "16"):
        for place in (PLACES[0], PLACES[3]) if batch == "16" else (PLACES[3],):
            run(*STORY, "--prompt-ids", ids, "--tokens", "5", "--prefill-batch", batch, *place,
                "--logits", logits, "--report", report)
            rows = rows or read_floats(logits)
            assert read_floats(logits) == rows, (batch, place)
            output = deterministic(report)["output"]
            first = digests.setdefault(batch, output)
            assert output == first and output["ids"] == digests["1"]["ids"], (batch, place)
    # Without --logits only the last position's are computed; what is sampled is the same.
    for engine in ("functional", "timing"):
        run(*STORY, "--prompt-ids", ids, "--tokens", "5", *PLACES[3], "--engine", engine,
            "--report", report)
        now = deterministic(report)
        assert now["emulated"]["batches"] == 2 and now["emulated"]["steps"] == 13, now["emulated"]
        first = digests.setdefault("default", now["output"])
        assert now["output"]["timing_digest"] == first["timing_digest"], engine
    assert digests["default"]["value_digest"] == digests["1"]["value_digest"], digests
    stages = [*STORY[:3], "groqrack", "--nodes", "2", "--prompt-ids", ids, "--tokens", "5",
              "--prefill-batch", "16"]
    for place in (PLACES[3], ["--chips-per-rank", "8"]):
        run(*stages, *place, "--logits", logits)
        assert read_floats(logits) == rows, place
        run(*stages, *place, "--prompt-flight", "32", "--logits", logits)
        assert read_floats(logits) == rows, place
        run(*stages, *place, "--prompt-flight", "32", "--report", report)
        now = deterministic(report)
        assert now["emulated"]["batches"] == 1 and now["emulated"]["steps"] == 13, now["emulated"]
        first = digests.setdefault("flight", now["output"])
        assert now["output"] == first, place
    assert digests["flight"]["value_digest"] == digests["1"]["value_digest"], digests
    error = run(*stages, *PLACES[3], "--prompt-flight", "40", expect=1)
    assert "--prompt-flight 40: not a multiple of --prefill-batch 16" in error.stderr, error.stderr
    error = run(*STORY, "--prompt-ids", "1,2,3", "--tokens", "1", "--prefill-batch", "4", expect=1)
    assert "--prefill-batch 4 has no effect on a prompt of 3 ids" in error.stderr, error.stderr
    print(len(rows), "logits equal; digests", digests["16"]["value_digest"])


def shared(name):
    """The folder of a checkpoint outside the tree; ends the test where there is none."""
    folder = os.path.join(SHARED, "models", name)
    if not os.path.isdir(folder):
        print(f"skipped: no {folder}")
        sys.exit(77)
    return folder


def read_floats(path):
    """Little-endian fp32."""
    values = array.array("f")
    with open(path, "rb") as file:
        values.frombytes(file.read())
    return values


def difference(a, b):
    """The largest."""
    assert len(a) == len(b), (len(a), len(b))
    return max(abs(x - y) for x, y in zip(a, b))


def stories(folder):
    """A trained checkpoint: the ids and text of a reference, logits within 0.15 of its own."""
    model = shared("stories260K")
    for name, prompt in (("once", "Once upon a time"), ("empty", "")):
        base = os.path.join(model, "expected", "stories260K." + name)
        with open(base + ".ids", encoding="utf-8") as file:
            lines = {words[0]: words[1:] for words in map(str.split, file)}
        logits, report = os.path.join(folder, "l"), os.path.join(folder, "r")
        run("--model", model, *STORY[2:], "--prompt", prompt, "--tokens", "100",
            "--ignore-eos", "--logits", logits, "--report", report)
        output = deterministic(report)["output"]
        assert output["prompt_ids"] == list(map(int, lines["prompt"])), output
        assert output["ids"] == list(map(int, lines["generated"])), output
        worst = difference(read_floats(logits), read_floats(base + ".logits.f32"))
        print(f"{name}: {len(output['ids'])} ids equal, largest logit difference {worst:.4f}")
        assert worst <= 0.15, worst


def tiny(folder):
    """A random checkpoint where nothing divides evenly, against a reference in double precision."""
    model = shared("tiny_llama")
    with open(os.path.join(model, "expected_logits.json"), encoding="utf-8") as file:
        expected = json.load(file)
    # fp16 keeps 11 bits: weights, and activations at every product, are off by up to 2^-11 of their
    # size; logits here are below 3, and two layers multiply some ten times on the way.
    tolerance = 10 * 3 * 2**-11
    for ids, rows in zip(expected["sequences"], expected["logits"]):
        logits = os.path.join(folder, "l")
        run("--model", model, *STORY[2:], "--prompt-ids", ",".join(map(str, ids)),
            "--tokens", "1", "--logits", logits)
        worst = difference(read_floats(logits), [x for row in rows for x in row])
        print(f"tiny_llama: largest logit difference {worst:.5f}, tolerance {tolerance:.5f}")
        assert worst <= tolerance, worst


with tempfile.TemporaryDirectory() as FOLDER:
    globals()[CASE](FOLDER)
