#!/usr/bin/python3
"""Golden pairs: what `lockstep exec --timeline` prints of a program, kept as a file.

    NAME.prog                        one chip      ->  NAME.trace
    NAME.chip0.prog NAME.chip1.prog  one a chip

A line `; run: FLAGS` in the first program adds flags. A trace is the output of the functional
engine, standard error included, and the exit code if it is not 0. The timing engine must print the
same, but for the values it does not have and the details of a fault, which may be worded otherwise.

docs/programs.md shows such runs: what stands there below a line `$ cat FILE` or `$ lockstep exec ...` in
a fenced block must be what that prints, up to the next such line or the end of the block.

    run_golden.py LOCKSTEP            compares; exit code 1 and a diff where something differs
    run_golden.py LOCKSTEP --update   rewrites traces and page
"""
import argparse
import difflib
import pathlib
import re
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
PAGE = ROOT / "docs" / "programs.md"
VALUES = re.compile(r"^chip\d+ holds$")


def cases():
    """Names and their programs, by name."""
    found = {}
    for path in sorted(FOLDER.glob("*.prog")):
        found.setdefault(re.sub(r"(\.chip\d+)?\.prog$", "", path.name), []).append(path)
    return found


def run(lockstep, programs, engine):
    flags = re.findall(r"^; run: (.*)$", programs[0].read_text(), re.MULTILINE)
    command = [lockstep, "exec", *map(str, programs), "--timeline", "--engine", engine]
    command += " ".join(flags).split()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120)
    return done.stdout + (f"exit {done.returncode}\n" if done.returncode else "")


def without_values(trace):
    """What both engines must agree on."""
    lines = []
    for line in trace.splitlines():
        if VALUES.match(line):
            break
        if line.startswith("lockstep: fault: "):
            line = ": ".join(line.split(": ")[:5])
        lines.append(line)
    return lines


def shown(lockstep, command):
    """What a command of the page prints, as lines."""
    words = command.split()
    if words[0] == "cat":
        return (ROOT / words[1]).read_text().splitlines()
    assert words[:2] == ["lockstep", "exec"], command
    done = subprocess.run([lockstep, *words[1:]], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120)
    return done.stdout.splitlines()


def page_as_run(lockstep, text):
    """The page with the output of its commands put in anew."""
    out, fenced, skipping = [], False, False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced, skipping = not fenced, False
        if fenced and line.startswith("$ "):
            out += [line, *shown(lockstep, line[2:])]
            skipping = True
        elif not skipping:
            out.append(line)
    return out


def differences(want, got, want_name, got_name):
    return list(difflib.unified_diff(want, got, want_name, got_name, lineterm=""))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lockstep")
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    bad = 0
    for name, programs in cases().items():
        path = FOLDER / f"{name}.trace"
        functional = run(options.lockstep, programs, "functional")
        timing = run(options.lockstep, programs, "timing")
        if options.update:
            path.write_text(functional)
        want = path.read_text() if path.exists() else ""
        diff = differences(want.splitlines(), functional.splitlines(), path.name, "functional")
        diff += differences(without_values(functional), without_values(timing), "functional",
                            "timing")
        if diff:
            print(f"{name}:", *diff, sep="\n")
            bad += 1
    page = PAGE.read_text()
    as_run = page_as_run(options.lockstep, page)
    if options.update:
        PAGE.write_text("\n".join(as_run) + "\n")
    elif diff := differences(page.splitlines(), as_run, PAGE.name, "run"):
        print(*diff, sep="\n")
        bad += 1
    stale = {p.stem for p in FOLDER.glob("*.trace")} - set(cases())
    for name in sorted(stale):
        print(f"{name}.trace has no program")
    print(f"{len(cases())} golden pairs and a page, {bad} differ")
    return 1 if bad or stale or not cases() else 0


if __name__ == "__main__":
    sys.exit(main())
