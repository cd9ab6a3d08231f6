#!/usr/bin/env python3
"""What README.md shows of commands is what they print: each line below an indented `$ build/...` is
printed, in this order; rows may be left out. Times of the host are not compared.

Usage: readme_test.py SOURCE BIN [--update]     --update: rewrites rows of tables in README.md
"""
import pathlib
import shlex
import subprocess
import sys

SOURCE, BIN = (pathlib.Path(a).resolve() for a in sys.argv[1:3])
README = SOURCE / "README.md"
PROMPT = "    $ build/release/bin/"
OF_THE_HOST = ("wall time", "slowdown")
LABEL = 24  # letters of a table's row before its figures


def printed(command):
    program, *arguments = shlex.split(command)
    done = subprocess.run([str(BIN / program), *arguments], cwd=SOURCE, capture_output=True,
                          text=True, timeout=600)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout.splitlines()


def main():
    out, wrong, commands, rest, rows = [], [], 0, None, {}
    for line in README.read_text(encoding="utf-8").splitlines():
        text = line[4:]
        if line.startswith(PROMPT):
            lines = printed(line[len(PROMPT):])
            rest, rows, commands = iter(lines), {row[:LABEL]: row for row in lines}, commands + 1
        elif line and not line.startswith("    "):
            rest = None
        elif line and rest and not text.strip().startswith(OF_THE_HOST):
            row = rows.get(text[:LABEL], text)
            if row != text or row not in rest:
                wrong.append(f"{text}\n    printed: {row if row != text else 'nowhere, or above'}")
                line = line[:4] + row
        out.append(line)
    assert commands > 3, "README.md shows no commands"
    if "--update" in sys.argv[3:]:
        README.write_text("\n".join(out) + "\n", encoding="utf-8")
    else:
        assert not wrong, "README.md shows what is not printed:\n" + "\n".join(wrong)
    print(f"README: {commands} commands, {len(wrong)} lines differed")


if __name__ == "__main__":
    main()
