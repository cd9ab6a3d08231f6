#!/usr/bin/env python3
"""Checks the structure of the tree: what each layer may include, sizes, READMEs, words.

    chip  <  fabric  <  runtime  <  launcher        proto: seen by runtime and launcher only
    within runtime:  files < pages < machine < model < kernels < compiler < run < collectives
                     < planner < comparison < validation < jobs < controller

Usage: check_layers.py [ROOT]. Prints `path:line: message` for each broken rule; exit code 1 if any.
The rules have no exceptions: whoever breaks one changes the code, or the rule for all.
"""
import pathlib
import re
import sys

# What each folder may include of ours. A test of a layer may use the layer, those below and their
# tests; benchmarks may use everything. No layer sees tests or benchmarks.
LAYERS = ["chip", "fabric", "runtime", "launcher"]
ALLOWED = {layer: set(LAYERS[:i + 1]) for i, layer in enumerate(LAYERS)}
ALLOWED["bench"] = set(LAYERS) | {"bench"} | {f"tests/{layer}" for layer in LAYERS}
TEST_ALLOWED = {layer: ALLOWED[layer] | {f"tests/{l}" for l in LAYERS[:i + 1]}
                for i, layer in enumerate(LAYERS)}
PROTO = "lockstep/v1/"  # generated from proto/
PROTO_READERS = {"runtime", "launcher"}

# What a layer may use of others, beside the standard library: nothing else.
LIBRARIES = {
    "chip": ("absl/", "hwy/", "xxhash.h", "sys/mman.h"),
    "fabric": ("absl/", "xxhash.h", "sys/", "mpi.h", "linux/futex.h", "fcntl.h", "unistd.h"),
    "runtime": ("absl/", "xxhash.h", "google/protobuf/", "nlohmann/", "spdlog/", "fmt/", "sys/",
                "fcntl.h", "unistd.h"),
}
# Rooms of runtime, each may include only itself and those before it.
ROOMS = ["files", "pages", "machine", "model", "kernels", "compiler", "run", "collectives", "planner",
         "comparison", "validation", "jobs", "controller"]
# What folders within a layer may use beside that.
FOLDER_LIBRARIES = {
    "runtime/jobs": ("sqlite3.h",),
    "runtime/controller": ("grpcpp/", "prometheus/"),
}
# Standard and library headers that a pure machine has no use for.
IMPURE = {
    "threads": ("thread", "mutex", "shared_mutex", "condition_variable", "future", "atomic",
                "semaphore", "latch", "barrier", "stop_token", "pthread.h",
                "absl/synchronization/", "absl/base/thread"),
    "logging": ("iostream", "ostream", "syslog.h", "absl/log/"),
    "host clock": ("chrono", "ctime", "time.h", "sys/time.h", "sys/times.h", "absl/time/"),
    "unseeded randomness": ("random", "absl/random/", "sys/random.h"),
}
IMPURE_CALLS = re.compile(
    r"(?<![\w.>])(?:std::|::)?(time|clock|clock_gettime|gettimeofday|localtime|gmtime|getenv|"
    r"secure_getenv|setenv|putenv|environ)\s*\(")

HEADER_LINES, SOURCE_LINES, README_LINES = 200, 400, 60
SOURCES = {".h", ".cc", ".py", ".sh", ".proto", ".textproto", ".cmake", ".txt", ".md"}
# Put together here so that this file passes its own check.
WORDS = re.compile(r"\b(?:%s)\b" % "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3]))
PHRASES = re.compile("place" + "holder|not " + "implemented", re.IGNORECASE)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![\w])\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)


def find_files(root):
    """Paths of our files, relative to root: no hidden folders, no build trees."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        parts = relative.parts
        if parts[0] == "build" or any(p.startswith(".") or p == "__pycache__" for p in parts):
            continue
        if path.is_file():
            yield relative


def includes_of(text):
    """(line number, '<' or '"', path) of each #include."""
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def is_library(name, prefixes):
    return any(name == p or (p.endswith("/") and name.startswith(p)) for p in prefixes)


def is_standard(name):
    return re.fullmatch(r"[a-z0-9_]+(\.h)?", name) is not None and name not in (
        "mpi.h", "xxhash.h", "fcntl.h", "unistd.h", "pthread.h", "syslog.h",
        "sqlite3.h")


def owner_of(path):
    """Folder whose rules hold for a file, and the folders that it may include."""
    top = path.parts[0]
    if top == "tests":
        layer = path.parts[1] if len(path.parts) > 2 else ""
        return f"tests/{layer}", TEST_ALLOWED.get(layer, set(LAYERS) | {f"tests/{layer}"})
    return top, ALLOWED.get(top, {top})


def folder_of_include(name):
    parts = name.split("/")
    return "/".join(parts[:2]) if parts[0] == "tests" else parts[0]


class Checker:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.files = list(find_files(self.root))
        self.code = [p for p in self.files if p.suffix in (".h", ".cc")]
        self.problems = []

    def report(self, path, line, message):
        self.problems.append(f"{path}:{line}: {message}")

    def read(self, path):
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def run(self):
        graph = {}
        for path in self.code:
            text = self.read(path)
            graph[str(path)] = self.check_includes(path, text)
            self.check_length(path, text)
            if path.parts[0] == "chip":
                self.check_pure(path, text)
            self.check_first_include(path, text)
        self.check_cycles({p: e for p, e in graph.items() if p.endswith(".h")})
        self.check_readmes()
        for path in self.files:
            if path.suffix in SOURCES:
                self.check_words(path)
        return self.problems

    def check_includes(self, path, text):
        """Checks each include; returns those of our own files."""
        owner, allowed = owner_of(path)
        ours = []
        for line, mark, name in includes_of(text):
            if name.startswith(PROTO):
                if owner not in PROTO_READERS and owner.split("/")[-1] not in PROTO_READERS:
                    self.report(path, line, f"{owner}/ may not include proto ({name})")
                continue
            self.check_mpi(path, line, name)
            folder = folder_of_include(name)
            known = "/" in name and (folder in ALLOWED or folder.startswith("tests/"))
            if not known:
                self.check_library(path, line, owner, mark, name)
            elif not (self.root / name).is_file():
                self.report(path, line, f"{name} does not exist (paths begin at the root)")
            else:
                ours.append(name)
                if folder not in allowed:
                    self.report(path, line, f"{owner}/ may not include {folder}/ ({name})")
                if owner == folder == "runtime":
                    self.check_room(path, line, name)
        return ours

    def check_room(self, path, line, name):
        room, other = path.parts[1], name.split("/")[1]
        if room not in ROOMS or other not in ROOMS:
            self.report(path, line, f"{name}: files of runtime/ lie in one of its rooms")
        elif ROOMS.index(other) > ROOMS.index(room):
            self.report(path, line, f"runtime/{room}/ may not include runtime/{other}/ ({name})")

    def check_mpi(self, path, line, name):
        if name == "mpi.h" and not (path.parts[0] == "fabric" and path.suffix == ".cc" and
                                    path.name.startswith("mpi_")):
            self.report(path, line, "<mpi.h> may be included by fabric/mpi_*.cc only")

    def check_library(self, path, line, owner, mark, name):
        if owner not in LIBRARIES or (mark == "<" and is_standard(name)):
            return
        more = FOLDER_LIBRARIES.get("/".join(path.parts[:2]), ())
        if not is_library(name, LIBRARIES[owner] + more):
            self.report(path, line, f"{owner}/ may not include {name}")

    def check_pure(self, path, text):
        for line, _, name in includes_of(text):
            for what, headers in IMPURE.items():
                if is_library(name, headers):
                    self.report(path, line, f"chip/ may not use {what} ({name})")
        blank = COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
        for number, line in enumerate(blank.splitlines(), 1):
            match = IMPURE_CALLS.search(line)
            if match:
                self.report(path, number, f"chip/ may not call {match.group(1)}()")

    def check_first_include(self, path, text):
        """foo.cc includes foo.h first: so the build proves that foo.h needs nothing before it."""
        header = str(path.with_suffix(".h"))
        if path.suffix != ".cc" or not (self.root / header).is_file():
            return
        line, _, name = next(includes_of(text), (1, "", "nothing"))
        if name != header:
            self.report(path, line, f"includes {name} first, not {header}")

    def check_length(self, path, text):
        # Headers of tests are fixtures, with bodies: they count as sources.
        header = path.suffix == ".h" and path.parts[0] not in ("tests", "bench")
        limit = HEADER_LINES if header else SOURCE_LINES
        lines = len(text.splitlines())
        if lines > limit:
            self.report(path, lines, f"{lines} lines, the limit is {limit}")

    def check_cycles(self, graph):
        """Depth first; each cycle is reported at the header that closes it."""
        state = {}

        def visit(header, trail):
            state[header] = "open"
            for name in graph.get(header, ()):
                if state.get(name) == "open":
                    cycle = trail[trail.index(name):] + [name]
                    self.report(header, 1, "headers include each other: " + " -> ".join(cycle))
                elif name in graph and name not in state:
                    visit(name, trail + [name])
            state[header] = "done"

        for header in sorted(graph):
            if header not in state:
                visit(header, [header])

    def check_readmes(self):
        for folder in sorted({p.parts[0] for p in self.files if len(p.parts) > 1}):
            readme = pathlib.PurePath(folder, "README.md")
            if not (self.root / readme).is_file():
                self.report(readme, 1, "every folder has a README.md")
                continue
            lines = len(self.read(readme).splitlines())
            if lines > README_LINES:
                self.report(readme, lines, f"{lines} lines, the limit is {README_LINES}")

    def check_words(self, path):
        for number, line in enumerate(self.read(path).splitlines(), 1):
            for match in (WORDS.search(line), PHRASES.search(line)):
                if match:
                    self.report(path, number, f"unfinished work is not committed: {match.group()}")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])
    checker = Checker(root.resolve())
    problems = checker.run()
    for problem in problems:
        print(problem)
    print(f"{len(checker.files)} files, {len(problems)} problems")
    return 1 if problems or not checker.code else 0


if __name__ == "__main__":
    sys.exit(main())
