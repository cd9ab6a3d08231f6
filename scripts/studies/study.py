"""What all studies share: points that are remembered, and figures that say where they come from.

    commands --> lockstep --> NAME.csv (a row a point, written as points come) --> NAME.png, NAME.svg

A study that stops goes on where it stopped: NAME.csv names the executable by its SHA-256, or the
controller by its store, and the points of another one are not taken over. Every file names command,
commit and the digest of its rows.
"""
import argparse
import csv
import hashlib
import io
import json
import os
import pathlib
import secrets
import subprocess
import sys
import time

import jobs

ROOT = jobs.ROOT


def parse_arguments(description, *more):
    """`more`: further options, as pairs of a name and the arguments of add_argument."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="few points, in seconds")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "studies",
                        help="folder of the results (default: %(default)s)")
    parser.add_argument("--lockstep", type=pathlib.Path,
                        default=ROOT / "build" / "release" / "bin" / "lockstep",
                        help="the executable (default: %(default)s)")
    parser.add_argument("--server", help="address of a controller that runs the jobs instead")
    for name, options in more:
        parser.add_argument(name, **options)
    arguments = parser.parse_args()
    if not arguments.server and not os.access(arguments.lockstep, os.X_OK):
        parser.error(f"{arguments.lockstep}: no executable; build it: cmake --build --preset release")
    return arguments


def commit():
    """Short commit of the tree, `+` when files were changed since; `unknown` without git. Results do
    not count, or those of one study would change the commit of the next."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run(git + ["rev-parse", "--short=12", "HEAD"], capture_output=True,
                              text=True, check=True).stdout.strip()
        changed = subprocess.run(git + ["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/results"],
                                 capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed.strip() else "")


class Study:
    """Points of one figure: rows of `columns`, the first `keys` of which name the point."""

    def __init__(self, name, columns, keys, arguments):
        self.name, self.columns, self.keys = name, columns, keys
        self.arguments = arguments
        self.csv = arguments.out / f"{name}.csv"
        self.jobs = jobs.Server(arguments.server) if arguments.server else \
            jobs.Local(arguments.lockstep)
        self.nonce = secrets.token_hex(4)  # of the jobs that a controller runs for these files
        options = [name for name, value in (("--quick", arguments.quick),
                                            (f"--server {arguments.server}", arguments.server))
                   if value]
        self.command = " ".join([f"scripts/studies/{name}.py", *options])
        self.notes = []  # further lines of the files' heads
        self.rows = {}
        arguments.out.mkdir(parents=True, exist_ok=True)
        self._resume()

    def _header(self):
        lines = [f"# command: {self.command}", f"# commit: {commit()}",
                 f"# executable: {self.jobs.identity}"]
        lines += [f"# requests: {self.nonce}"] if self.arguments.server else []
        return lines + [f"# {note}" for note in self.notes]

    def _resume(self):
        if not self.csv.is_file():
            return
        lines = self.csv.read_text().splitlines()
        same = {f"# command: {self.command}", f"# executable: {self.jobs.identity}"}
        data = [line for line in lines if not line.startswith("#")]
        if not same <= set(lines) or not data or data[0].split(",") != self.columns:
            return
        for line in lines:
            if line.startswith("# requests: "):
                self.nonce = line.split(": ")[1]
        for row in csv.reader(data[1:]):
            if len(row) == len(self.columns):
                self.rows[tuple(row[:self.keys])] = row
        print(f"{self.name}: {len(self.rows)} points are there already")

    def digest(self):
        text = "\n".join(",".join(self.rows[k]) for k in sorted(self.rows))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _write(self):
        lines = self._header() + [f"# digest of rows: {self.digest()}", ",".join(self.columns)]
        lines += [",".join(self.rows[k]) for k in self.rows]
        temporary = self.csv.with_suffix(".csv.tmp")
        temporary.write_text("\n".join(lines) + "\n")
        temporary.replace(self.csv)

    def job(self, kind, /, **fields):
        """What a job left (jobs.Outcome); ends the study with what it said if it fails."""
        try:
            return self.job_or_error(kind, **fields)
        except jobs.JobFailed as error:
            sys.exit(f"{self.name}: {error}")

    def job_or_error(self, kind, /, **fields):
        return self.jobs.run({kind: fields}, self.nonce)

    def collective(self, topology, kind, size, **machine):
        """Report of a collective over all chips of a topology."""
        files = self.job("collective", kind=kind, bytes=size,
                         machine={"topology": topology, **machine})
        return json.loads(files["report.json"])

    def measure(self, points, make):
        """make(*point) gives the values after the keys, for each point that is not there yet."""
        points = [tuple(map(str, p)) for p in points]
        wanted = set(points)
        self.rows = {k: r for k, r in self.rows.items() if k in wanted}
        self._write()  # the name of the requests is on disk before the first of them
        start, done = time.monotonic(), 0
        for number, point in enumerate(points, 1):
            if point in self.rows:
                continue
            self.rows[point] = list(point) + [str(v) for v in make(*point)]
            self._write()
            done += 1
            print(f"{self.name}: {number}/{len(points)} {' '.join(point)} "
                  f"({time.monotonic() - start:.1f} s)", flush=True)
        self.rows = {p: self.rows[p] for p in points}
        self._write()
        return done

    def measure_groups(self, groups, make):
        """make(group) gives all rows of a group at once, without its name, their first column."""
        self.rows = {k: r for k, r in self.rows.items() if k[0] in groups}
        start = time.monotonic()
        self._write()
        for number, group in enumerate(groups, 1):
            if any(k[0] == group for k in self.rows):
                continue
            for row in make(group):
                row = [group] + [str(v) for v in row]
                self.rows[tuple(row[:self.keys])] = row
            self._write()
            print(f"{self.name}: {number}/{len(groups)} {group} "
                  f"({time.monotonic() - start:.1f} s)", flush=True)

    def derive(self, name, make):
        """Column `name` of each row made anew from the row, a dict."""
        at = self.columns.index(name)
        for row in self.rows.values():
            row[at] = str(make(dict(zip(self.columns, row))))
        self._write()

    def model(self, name, **config):
        """A Llama shape of our own, as `lockstep` takes it. A controller must have been started with
        --models OUT/models as well."""
        folder = self.arguments.out / "models" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps({
            "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "bos_token_id": 1, "eos_token_id": 2,
            "max_position_embeddings": 512, "torch_dtype": "float16", **config}, indent=2) + "\n")
        return name if self.arguments.server else str(folder.resolve())

    def column(self, name, **where):
        """Values of a column as numbers, of rows whose other columns are as given."""
        at = self.columns.index(name)
        return [float(r[at]) for r in self.rows.values()
                if all(r[self.columns.index(k)] == str(v) for k, v in where.items())]

    def save(self, figure, title):
        """NAME.png and NAME.svg with command, commit and digest in the picture and in the file."""
        from matplotlib import rcParams
        rcParams["svg.hashsalt"] = self.name
        origin = f"{self.command}   commit {commit()}   rows {self.digest()}"
        figure.suptitle(title, fontsize=11)
        figure.get_layout_engine().set(rect=(0.005, 0.03, 0.99, 0.95))  # room for the origin
        figure.text(0.01, 0.005, origin, fontsize=6, color="gray")
        for kind in ("png", "svg"):
            metadata = {"Title": self.name}
            metadata["Description"] = origin
            if kind == "svg":
                metadata["Date"] = None
            figure.savefig(self.arguments.out / f"{self.name}.{kind}", dpi=150, metadata=metadata)


def table(data):
    """Rows of a CSV file as dicts."""
    return list(csv.DictReader(io.StringIO(data.decode())))


def pyplot():
    """matplotlib without a display; says how to get it."""
    try:
        import matplotlib
    except ImportError:
        sys.exit("matplotlib is missing: scripts/install.sh installs python3-matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    plt.rcParams.update({"font.size": 9, "axes.grid": True, "grid.alpha": 0.3,
                         "figure.constrained_layout.use": True})
    return plt


def racks_topology(count):
    return "groqrack" if int(count) == 1 else f"groqrack-x{count}"


def numbers(axis):
    """Ticks as 0.1, 10, 1000; of an axis with a logarithmic scale."""
    from matplotlib.ticker import NullFormatter
    axis.set_major_formatter(lambda value, _: f"{value:,g}")
    axis.set_minor_formatter(NullFormatter())


def legend_above(axes, columns):
    """Outside the plot, which it might cover."""
    axes.legend(fontsize=7.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns,
                frameon=False)


def size_text(value, _=None):
    """4096 -> "4K"; for axes of message sizes."""
    for suffix in ("", "K", "M", "G"):
        if value < 1024 or suffix == "G":
            return f"{value:g}{suffix}"
        value /= 1024
    return ""


def size_axis(axes):
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(size_text)
    axes.set_xlabel("message, bytes")
