#!/usr/bin/env python3
"""Studies as jobs of a controller give the rows that they give on this host; interrupted ones go on
with the very jobs that they had asked for.

Usage: studies_test.py BIN SOURCE
"""
import csv
import pathlib
import subprocess
import tempfile

from harness import BIN, SOURCE, Controller

STUDIES = ("bandwidth", "growth", "link_load", "racks", "scaling")
OF_THE_HOST = ("_s", "_MB")  # ends of columns that differ from run to run


def run(name, out, *flags):
    done = subprocess.run(["/usr/bin/python3", "-B", str(SOURCE / f"scripts/studies/{name}.py"),
                           "--quick", "--out", str(out), "--lockstep", str(BIN / "lockstep"),
                           *flags], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (name, done.stdout, done.stderr)
    return done.stdout


def rows(folder, name):
    text = pathlib.Path(folder, f"{name}.csv").read_text(encoding="utf-8")
    table = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return [{k: v for k, v in row.items() if not k.endswith(OF_THE_HOST)} for row in table]


def main():
    with tempfile.TemporaryDirectory() as folder:
        here, there = pathlib.Path(folder, "here"), pathlib.Path(folder, "there")
        models = f"--models={SOURCE / 'models'}", f"--models={there / 'models'}"
        (there / "models").mkdir(parents=True)
        with Controller(*models) as controller:
            server = ("--server", controller.address)
            for name in STUDIES:
                run(name, here)
                run(name, there, *server)
                assert rows(here, name) == rows(there, name), name
                assert server[1] in (there / f"{name}.svg").read_text(encoding="utf-8")
            assert any(row["bytes_too_few"] != "0" for row in rows(there, "racks")), "all fit"
            jobs = len(list(controller.client().jobs()))
            # The last point is lost: it is asked for again, and is the job that it was.
            lost = there / "scaling.csv"
            text = lost.read_text(encoding="utf-8").splitlines(keepends=True)
            lost.write_text("".join(text[:-1]), encoding="utf-8")
            again = run("scaling", there, *server)
            assert "scaling: 3 points are there already" in again and "4/4" in again, again
            assert rows(here, "scaling") == rows(there, "scaling")
            assert len(list(controller.client().jobs())) == jobs
    print(f"studies: {len(STUDIES)} alike on a controller, {jobs} jobs")


if __name__ == "__main__":
    main()
