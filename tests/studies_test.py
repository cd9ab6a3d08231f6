#!/usr/bin/env python3
"""Runs all studies quickly, twice: the first time every point is measured, the second none. Their
files are there, name their origin, and the pictures are pictures.

Usage: studies_test.py SOURCE_DIR LOCKSTEP
"""
import pathlib
import subprocess
import sys
import tempfile


def run(source, lockstep, out):
    done = subprocess.run([str(source / "scripts/studies/all.sh"), "--quick", "--out", str(out),
                           "--lockstep", lockstep], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def main():
    source, lockstep = pathlib.Path(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)
        first = run(source, lockstep, out)
        studies = sorted(p.stem for p in out.glob("*.csv"))
        assert studies == sorted(p.stem for p in (source / "scripts/studies").glob("*.py")
                                 if p.stem not in ("study", "jobs")), studies
        assert "bandwidth: 8/8 " in first, first
        before = {s: (out / f"{s}.csv").read_text() for s in studies}
        second = run(source, lockstep, out)
        for s in studies:
            text = before[s]
            assert text == (out / f"{s}.csv").read_text(), f"{s} changed when run again"
            rows = [line for line in text.splitlines() if not line.startswith("#")][1:]
            assert rows and f"{s}: {len(rows)} points are there already" in second, second
            for what in ("# command: scripts/studies/", "# commit: ", "# digest of rows: "):
                assert what in text, f"{s}.csv has no {what}"
            assert (out / f"{s}.png").read_bytes().startswith(b"\x89PNG"), s
            assert f"scripts/studies/{s}.py --quick" in (out / f"{s}.svg").read_text(), s
        assert "(" not in second, f"measured again:\n{second}"
        energy = [sys.executable, "-B", str(source / "scripts/studies/energy_cost.py")]
        table = subprocess.run(energy + ["--assumptions"], capture_output=True, text=True, check=True)
        assert (source / "docs/assumptions.md").read_text().endswith(table.stdout)
        # An assumption changes what follows from the points, which stay.
        more = subprocess.run(energy + ["--quick", "--out", str(out), "--lockstep", lockstep,
                                        "--chip-watts", "370"], capture_output=True, text=True)
        assert more.returncode == 0 and "(" not in more.stdout, more.stdout + more.stderr
        assert "chip-watts 370" in (out / "energy_cost.csv").read_text()
        assert (out / "energy_cost.csv").read_text() != before["energy_cost"]
    print(f"studies: {len(studies)}, each from nothing and from what was there")


if __name__ == "__main__":
    main()
