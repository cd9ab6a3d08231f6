#!/usr/bin/env python3
"""Tests check_layers.py: a small clean tree passes, and each broken rule is caught in its place."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

import check_layers

CLEAN = {
    "chip/a.h": '#pragma once\n#include <cstdint>\n#include "absl/status/status.h"\n',
    "chip/a.cc": '#include "chip/a.h"\n// time() is a word here, and so is "time()"\n',
    "fabric/b.h": '#pragma once\n#include <atomic>\n#include "chip/a.h"\n',
    "fabric/mpi_b.cc": '#include <mpi.h>\n#include "fabric/b.h"\n',
    "runtime/run/c.h": '#pragma once\n#include "fabric/b.h"\n',
    "runtime/run/c.cc": '#include "runtime/run/c.h"\n#include "lockstep/v1/x.pb.h"\n',
    "launcher/d.cc": '#include <CLI/CLI.hpp>\n#include "runtime/run/c.h"\n',
    "tests/chip/a_test.cc": '#include "chip/a.h"\n#include <gtest/gtest.h>\n',
    "tests/chip/fixture.h": '#pragma once\n#include "chip/a.h"\n',
    "bench/b_bench.cc": '#include <chrono>\n#include "tests/chip/fixture.h"\n',
}
FOLDERS = ("chip", "fabric", "runtime", "launcher", "tests", "bench")


class CheckLayersTest(unittest.TestCase):
    def in_tree(self, changes, look):
        """look(root) of the clean tree with `changes`; None deletes a file."""
        files = dict(CLEAN, **{f"{folder}/README.md": "what\n" for folder in FOLDERS})
        files.update(changes)
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                if text is not None:
                    path = pathlib.Path(folder, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text)
            return look(folder)

    def assert_problems(self, changes, expected):
        self.assertEqual(self.in_tree(changes, lambda root: check_layers.Checker(root).run()),
                         expected)

    def assert_caught(self, changes, expected):
        self.assert_problems(changes, [expected])

    def assert_passes(self, changes):
        self.assert_problems(changes, [])

    def exit_code(self, changes):
        command = [sys.executable, "-B", check_layers.__file__]
        return self.in_tree(changes, lambda root: subprocess.run(
            command + [root], stdout=subprocess.DEVNULL, check=False).returncode)

    def test_a_clean_tree_passes(self):
        self.assert_passes({})
        self.assertEqual(self.exit_code({}), 0)

    def test_a_broken_rule_or_a_tree_without_code_is_an_error(self):
        self.assertEqual(self.exit_code({"chip/README.md": None}), 1)
        self.assertEqual(self.exit_code(dict.fromkeys(CLEAN)), 1)

    def test_a_layer_sees_nothing_to_its_right(self):
        for name, include, owner, folder in (
                ("chip/e.cc", "fabric/b.h", "chip", "fabric"),
                ("fabric/e.cc", "runtime/run/c.h", "fabric", "runtime"),
                ("runtime/run/e.cc", "launcher/f.h", "runtime", "launcher"),
                ("tests/chip/a_test.cc", "fabric/b.h", "tests/chip", "fabric"),
                ("chip/e.cc", "tests/chip/fixture.h", "chip", "tests/chip"),
                ("launcher/e.cc", "bench/e.h", "launcher", "bench")):
            with self.subTest(name=name, include=include):
                self.assert_caught({"launcher/f.h": "#pragma once\n", "bench/e.h": "#pragma once\n",
                                    name: f'#include "{include}"\n'},
                                   f"{name}:1: {owner}/ may not include {folder}/ ({include})")

    def test_a_room_of_runtime_sees_nothing_to_its_right(self):
        job = {"runtime/jobs/j.h": "#pragma once\n#include <sqlite3.h>\n",
               "runtime/controller/s.h": "#pragma once\n#include <grpcpp/grpcpp.h>\n"
                                         '#include "runtime/jobs/j.h"\n'}
        self.assert_passes(job)
        self.assert_caught(
            dict(job, **{"runtime/run/e.cc": '#include "runtime/jobs/j.h"\n'}),
            "runtime/run/e.cc:1: runtime/run/ may not include runtime/jobs/ (runtime/jobs/j.h)")
        self.assert_caught(
            dict(job, **{"runtime/jobs/e.cc": '#include "runtime/controller/s.h"\n'}),
            "runtime/jobs/e.cc:1: runtime/jobs/ may not include runtime/controller/ "
            "(runtime/controller/s.h)")
        self.assert_caught({"runtime/e.h": "#pragma once\n",
                            "runtime/run/e.cc": '#include "runtime/e.h"\n'},
                           "runtime/run/e.cc:1: runtime/e.h: files of runtime/ lie in one of its rooms")
        self.assert_caught({"runtime/jobs/e.cc": "#include <grpcpp/grpcpp.h>\n"},
                           "runtime/jobs/e.cc:1: runtime/ may not include grpcpp/grpcpp.h")
        self.assert_caught({"runtime/run/e.cc": "#include <sqlite3.h>\n"},
                           "runtime/run/e.cc:1: runtime/ may not include sqlite3.h")

    def test_angle_brackets_hide_nothing(self):
        self.assert_caught({"chip/b.cc": "# include <fabric/b.h>\n"},
                           "chip/b.cc:1: chip/ may not include fabric/ (fabric/b.h)")

    def test_proto_is_for_runtime_and_launcher(self):
        self.assert_caught({"fabric/e.cc": '\n#include "lockstep/v1/x.pb.h"\n'},
                           "fabric/e.cc:2: fabric/ may not include proto (lockstep/v1/x.pb.h)")
        self.assert_passes({"launcher/d.cc": '#include "lockstep/v1/x.pb.h"\n'})

    def test_mpi_is_for_sources_of_the_fabric_named_so(self):
        rule = "<mpi.h> may be included by fabric/mpi_*.cc only"
        for name in ("fabric/e.cc", "fabric/mpi_e.h", "launcher/mpi_d.cc"):
            with self.subTest(name=name):
                self.assert_caught({name: "#include <mpi.h>\n"}, f"{name}:1: {rule}")

    def test_the_chip_is_pure(self):
        for include, what in (("thread", "threads"), ("atomic", "threads"), ("chrono", "host clock"),
                              ("ctime", "host clock"), ("iostream", "logging"),
                              ("random", "unseeded randomness")):
            with self.subTest(include=include):
                self.assert_caught({"chip/b.cc": f"#include <{include}>\n"},
                                   f"chip/b.cc:1: chip/ may not use {what} ({include})")
        for call, name in (("std::time(nullptr)", "time"), ("time(0)", "time"),
                           ('std::getenv("X")', "getenv"), ("::clock()", "clock")):
            with self.subTest(call=call):
                self.assert_caught({"chip/b.cc": f"\nauto x = {call};\n"},
                                   f"chip/b.cc:2: chip/ may not call {name}()")
        self.assert_passes({"chip/b.cc": "int x = run.time() + ready_time(3) + p->clock();\n"})

    def test_libraries_are_those_of_the_layer(self):
        for name, include in (("chip/e.cc", "spdlog/spdlog.h"), ("fabric/e.cc", "fmt/core.h"),
                              ("chip/e.cc", "google/protobuf/message.h"),
                              ("runtime/run/e.cc", "CLI/CLI.hpp")):
            with self.subTest(name=name, include=include):
                self.assert_caught({name: f"#include <{include}>\n"},
                                   f"{name}:1: {name.split('/')[0]}/ may not include {include}")

    def test_includes_exist(self):
        self.assert_caught({"chip/e.cc": '#include "chip/gone.h"\n'},
                           "chip/e.cc:1: chip/gone.h does not exist (paths begin at the root)")

    def test_paths_of_ours_begin_at_the_root(self):
        self.assert_caught({"chip/e.cc": '#include "a.h"\n'}, "chip/e.cc:1: chip/ may not include a.h")

    def test_headers_do_not_include_each_other(self):
        loop = "chip/x.h -> chip/y.h -> chip/z.h -> chip/x.h"
        self.assert_caught({"chip/x.h": '#include "chip/y.h"\n', "chip/y.h": '#include "chip/z.h"\n',
                            "chip/z.h": '#include "chip/x.h"\n'},
                           f"chip/z.h:1: headers include each other: {loop}")

    def test_a_source_includes_its_header_first(self):
        self.assert_caught({"chip/a.cc": '\n#include <cstdint>\n#include "chip/a.h"\n'},
                           "chip/a.cc:2: includes cstdint first, not chip/a.h")
        self.assert_caught({"chip/a.cc": ""}, "chip/a.cc:1: includes nothing first, not chip/a.h")

    def test_limits_hold_to_the_line(self):
        for name, limit in (("chip/l.h", 200), ("chip/m.cc", 400), ("tests/chip/l.h", 400),
                            ("chip/README.md", 60)):
            with self.subTest(name=name):
                self.assert_passes({name: "\n" * limit})
                self.assert_caught({name: "\n" * (limit + 1)},
                                   f"{name}:{limit + 1}: {limit + 1} lines, the limit is {limit}")

    def test_every_folder_has_a_readme(self):
        self.assert_caught({"chip/README.md": None}, "chip/README.md:1: every folder has a README.md")
        self.assert_passes({".ci/run": "", "build/x/y.cc": '#include "nowhere.h"\n'})

    def test_unfinished_work_is_not_committed(self):
        for word in ("TO" "DO", "FIX" "ME", "X" "XX", "Place" "holder", "not " "implemented"):
            for name in ("chip/e.cc", "chip/README.md", "scripts.cmake"):
                with self.subTest(word=word, name=name):
                    self.assert_caught({name: f"\n// {word}: later\n"},
                                       f"{name}:2: unfinished work is not committed: {word}")


if __name__ == "__main__":
    unittest.main()
