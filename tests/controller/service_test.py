#!/usr/bin/python3
"""The service as clients see it: each method, each refusal, reload and shutdown, metrics, the command
line. One lockstepd serves most tests.

    service_test.py BIN_DIR SOURCE_DIR [unittest arguments]
"""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import grpc
from harness import (BIN, SOURCE, Controller, controller_pb2, field_of, job_pb2, marked, os, story,
                     until)

LOCKSTEP = str(BIN / "lockstep")


def lockstep(controller, *arguments, code=0, **environment):
    """Standard output of a command given this controller through the environment."""
    done = subprocess.run([LOCKSTEP, *arguments], capture_output=True, text=True, timeout=120,
                          check=False, env={**os.environ, "LOCKSTEP_SERVER": controller.address,
                                            "HOME": "/nosuch", **environment})
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stderr


class ServiceTest(unittest.TestCase):
    """One controller for all tests of the class."""

    @classmethod
    def setUpClass(cls):
        cls.controller = Controller("--metrics=127.0.0.1:0", "--max-ranks=16")
        cls.client = cls.controller.client()

    @classmethod
    def tearDownClass(cls):
        cls.client.channel.close()
        cls.controller.stop()

    def refused(self, code, field, call, *arguments):
        """`call` fails with this code and names this field."""
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments)
        error = caught.exception
        self.assertEqual((error.code(), field_of(error)), (code, field), error.details())
        self.assertNotIn(str(SOURCE), error.details(), "a path of the host")
        return error.details()

    def refused_spec(self, field, spec, code=grpc.StatusCode.INVALID_ARGUMENT):
        """Submitting fails so."""
        return self.refused(code, field, self.client.submit, spec)

    def test_a_job_comes_back_with_text_report_and_artifacts(self):
        """The whole way of a job."""
        job = self.client.submit(story(12, keep_logits=True, keep_timeline=True))
        self.assertEqual(job.state, job_pb2.QUEUED)
        events = list(self.client.events(job.id))
        self.assertEqual([e.seq for e in events], list(range(1, len(events) + 1)))
        job = self.client.get(job.id)
        self.assertEqual(job.text, "".join(e.text for e in events))
        self.assertTrue(job.text.startswith("Nora was"))
        names = {a.name: a.bytes for a in job.artifacts}
        self.assertEqual(set(names), {"report.json", "table.txt", "links.csv", "timeline.json",
                                      "logits.f32"})
        for name, size in names.items():
            self.assertEqual(len(self.client.artifact(job.id, name)), size)
        report = json.loads(self.client.artifact(job.id, "report.json"))
        self.assertEqual(len(report["output"]["ids"]), 12)
        middle = events[len(events) // 2].seq
        self.assertEqual(list(self.client.events(job.id, middle)), events[middle:])

    def test_a_timing_run_a_plan_and_a_validation_are_jobs(self):
        """The other kinds."""
        for spec in ({"run": {"model": "story", "machine": {"topology": "groqnode"}, "tokens": 2,
                              "context": 8, "placement": {"threads": 1}}},
                     {"plan": {"model": "llama-2-7b", "machine": {"topology": "groqrack-x8"}}}):
            job = self.client.follow(self.client.submit(spec).id)
            json.loads(self.client.artifact(job.id, "report.json"))
            self.assertTrue(self.client.artifact(job.id, "table.txt"))
        sweep = {"machine": {"topology": "groqnode"}, "kinds": ["all_reduce"],
                 "bytes": [1024, 65536], "baseline": "dgx-a100"}
        job = self.client.follow(self.client.submit({"collectiveSweep": sweep}).id)
        self.assertGreaterEqual(self.client.artifact(job.id, "report.csv").count(b"\n"), 3)
        self.assertIn(b"all_reduce: bus bandwidth", self.client.artifact(job.id, "report.svg"))
        for field, change in (("kinds", ["x"]), ("kinds", []), ("kinds", ["all_reduce"] * 2),
                              ("bytes", [0]), ("bytes", []), ("gpus", 3),
                              ("baseline", "../dgx-a100"), ("baseline", "")):
            self.refused_spec(f"spec.collective_sweep.{field}",
                              {"collectiveSweep": {**sweep, field: change}})
        job = self.client.follow(self.client.submit({"validate": {"only": ["V1", "V2"]}}).id)
        figures = json.loads(self.client.artifact(job.id, "report.json"))["figures"]
        self.assertEqual({figure["id"] for figure in figures}, {"V1", "V2"})

    def test_fields_are_named_when_they_are_wrong(self):
        """One case a field."""
        good = story()["generate"]
        cases = {
            "model": [{"model": ""}, {"model": "../models/story"}, {"model": "nosuch"},
                      {"model": "/etc"}, {"model": ".."}, {"model": "story/../story"},
                      {"model": "x" * 1000}, {"model": "llama-2-7b"}, {"model": "$(id)"}],
            "machine.topology": [{"machine": {"topology": t}} for t in
                                 ("", "../x", "/etc/passwd", "groqcard.textproto", "nosuch")],
            "machine.hop_latency": [{"machine": {"topology": "groqcard", "hop_latency": "AB"}}],
            "machine.chips": [{"machine": {"topology": "groqcard", "chips": 2}},
                              {"machine": {"topology": "groqcard", "chips": -1}}],
            "machine.latencies": [{"machine": {"topology": "groqcard", "latencies": ["x=1"]}},
                                  {"machine": {"topology": "groqcard", "latencies": ["x" * 999]}},
                                  {"machine": {"topology": "groqcard", "latencies": ["a"] * 99}}],
            "tokens": [{"tokens": n} for n in (0, -5, 2**31 - 1, 100000)],
            "prompt": [{"prompt": "x" * 70000}],
            "sampling.temperature": [{"sampling": {"temperature": -1}},
                                     {"sampling": {"temperature": "NaN"}}],
            "sampling.top_p": [{"sampling": {"top_p": 2}}],
            "sampling.seed": [{"sampling": {"seed": 5}}],
            "placement.threads": [{"placement": {"threads": n}} for n in (0, 10**6)],
            "context": [{"context": -1}],
        }
        for field, changes in cases.items():
            for change in changes:
                with self.subTest(change=str(change)[:80]):
                    self.refused_spec(f"spec.generate.{field}", {"generate": {**good, **change}})
        ids = dict(good, promptIds={"ids": [99999]})
        del ids["prompt"]
        self.refused_spec("spec.generate.prompt_ids", {"generate": ids})
        self.refused_spec("spec", {})
        self.refused_spec("spec.label", {"label": "x" * 200, **story()})
        self.refused_spec("spec.max_seconds", {"maxSeconds": 0, **story()})
        self.refused_spec("spec.validate.only", {"validate": {"only": ["V999"]}})

    def test_what_never_could_run_is_refused_with_the_reason(self):
        """Too many ranks, too much memory."""
        code = grpc.StatusCode.FAILED_PRECONDITION
        self.assertIn("bytes of memory", self.refused_spec(None, {"maxMemoryBytes": 1000, **story()},
                                                           code))
        with Controller("--max-ranks=4") as small, small.client() as client:
            details = self.refused(code, None, client.submit, story(threads=None, chips=8))
            self.assertIn("needs 8 processes, a job here may have 4", details)

    def test_request_ids_make_submitting_idempotent(self):
        """The same id is the same job, or an error."""
        first = self.client.submit(story(3), "once")
        self.assertEqual(self.client.submit(story(3), "once").id, first.id)
        self.refused(grpc.StatusCode.ALREADY_EXISTS, None, self.client.submit, story(4), "once")
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "request_id", self.client.submit, story(4),
                     "a b")

    def test_ids_cursors_and_pages_are_checked(self):
        """Of jobs, events, lists, artifacts."""
        stub = self.client.stub
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        for bad in ("", "17", "j0", "../j1", "j1/../../x", "j" + "9" * 40):
            self.refused(invalid, "job_id", self.client.get, bad)
        self.refused(grpc.StatusCode.NOT_FOUND, None, self.client.get, "j999999")
        request = controller_pb2.ListRequest
        self.refused(invalid, "page_size", stub.List, request(page_size=-1))
        self.refused(invalid, "page_size", stub.List, request(page_size=10**9))
        self.refused(invalid, "page_token", stub.List, request(page_token="x"))
        self.refused(invalid, "states", stub.List, request(states=[99]))
        job = self.client.follow(self.client.submit(story(2)).id)
        watch = controller_pb2.WatchRequest(job_id=job.id, after_seq=-1)
        self.refused(invalid, "after_seq", lambda: list(stub.Watch(watch)))
        for name in ("", "../jobs.sqlite", "/etc/passwd", "1/report.json"):
            self.refused(grpc.StatusCode.NOT_FOUND, None, self.client.artifact, job.id, name)
        chunk = controller_pb2.GetArtifactRequest(job_id=job.id, name="report.json", offset=10**12)
        self.refused(invalid, "offset", lambda: list(stub.GetArtifact(chunk)))

    def test_lists_are_paged_and_filtered(self):
        """By label here, since other tests have jobs of their own."""
        ids = [self.client.submit({"label": "paged", **story(2)}).id for _ in range(5)]
        page = self.client.stub.List(controller_pb2.ListRequest(page_size=2, label="paged"))
        self.assertEqual([job.id for job in page.jobs], ids[:2:-1])
        self.assertEqual([job.id for job in self.client.jobs(label="paged")], ids[::-1])
        for job in ids:
            self.client.follow(job)
        self.assertFalse(list(self.client.jobs(label="paged", states=[job_pb2.QUEUED])))

    def test_cancel_ends_and_delete_removes(self):
        """A job of ranks at work."""
        job = self.client.submit(story(240, threads=None, chips=2))
        self.refused(grpc.StatusCode.FAILED_PRECONDITION, None, self.client.delete, job.id)
        until(lambda: self.client.get(job.id).state == job_pb2.RUNNING, "it starts")
        self.client.cancel(job.id)
        self.assertEqual(self.client.follow(job.id, must_succeed=False).state, job_pb2.CANCELLED)
        self.assertFalse([p for p in marked(self.controller.store) if p[2] == job.id])
        folder = pathlib.Path(self.controller.folder, "state", "jobs", job.id)
        self.assertTrue(folder.exists())
        self.client.delete(job.id)
        self.refused(grpc.StatusCode.NOT_FOUND, None, self.client.get, job.id)
        self.assertFalse(folder.exists())

    def test_deadlines_are_kept(self):
        """A watch of a job that takes longer."""
        job = self.client.submit(story(240, threads=None, chips=2))
        start = time.monotonic()
        with self.assertRaises(grpc.RpcError) as caught:
            list(self.client.stub.Watch(controller_pb2.WatchRequest(job_id=job.id), timeout=0.2))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertLess(time.monotonic() - start, 10)
        self.client.cancel(job.id)

    def test_files_are_private(self):
        """Folders and files of the state, and the socket."""
        self.client.follow(self.client.submit(story(2)).id)
        for path in pathlib.Path(self.controller.folder, "state").rglob("*"):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)
        socket = pathlib.Path(self.controller.address[len("unix:"):])
        self.assertEqual(socket.stat().st_mode & 0o077, 0)

    def test_metrics_count(self):
        """Read as Prometheus does."""
        self.client.follow(self.client.submit(story(2)).id)
        port = next(line for line in self.controller.text_of_log().splitlines()
                    if "metrics on port" in line).split()[-1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        for line in ('lockstep_jobs{state="QUEUED"}', 'lockstep_jobs_submitted_total{kind="generate"}',
                     'lockstep_jobs_ended_total{', 'lockstep_job_seconds_bucket{',
                     "lockstep_tokens_total ", 'lockstep_calls_total{', "lockstep_watchers "):
            self.assertIn(line, text)

    def test_the_command_line_does_all_of_it(self):
        """Tables for people, JSON for scripts, exit codes."""
        flags = ["--model", "story", "--topology", "groqcard", "--prompt", "Nora was",
                 "--tokens", "8", "--threads", "1"]
        text = lockstep(self.controller, "generate", *flags, "--report")
        self.assertTrue(text.startswith("Nora was"), text)
        self.assertIn("tokens/s/user", text)
        job = lockstep(self.controller, "submit", "generate", *flags, "--label", "cli").strip()
        self.assertRegex(job, r"^j\d+$")
        shown = lockstep(self.controller, "watch", job)
        self.assertIn("Nora was", shown)
        listed = lockstep(self.controller, "jobs", "--label", "cli")
        self.assertIn("SUCCEEDED", listed)
        rows = [json.loads(line) for line in
                lockstep(self.controller, "jobs", "--json", "--label", "cli").splitlines()]
        self.assertEqual([row["id"] for row in rows], [job])
        self.assertIn("tokens/s/user", lockstep(self.controller, "report", job))
        self.assertIn("output", json.loads(lockstep(self.controller, "report", "--json", job)))
        self.assertIn("report.json", lockstep(self.controller, "artifacts", job))
        self.assertIn("groqnode", lockstep(self.controller, "controller"))
        with tempfile.TemporaryDirectory() as folder:
            spec = pathlib.Path(folder, "spec.json")
            spec.write_text(json.dumps({"validate": {"only": ["V1"]}}), encoding="utf-8")
            lockstep(self.controller, "submit", "spec", str(spec), "--wait")
            lockstep(self.controller, "report", job, "--html", f"{folder}/page.html")
            page = pathlib.Path(folder, "page.html").read_text(encoding="utf-8")
            self.assertIn(f"<h2>{job}, generate, SUCCEEDED: cli</h2>", page)
            self.assertIn("Where a token's cycles go", page)
            lockstep(self.controller, "artifacts", job, "--get", "report.json", "-o",
                     f"{folder}/r.json")
            json.loads(pathlib.Path(folder, "r.json").read_text(encoding="utf-8"))
        for kind, *more in (
                ("sweep", "--collective", "all_reduce,broadcast", "--sizes", "8,1K",
                 "--baseline", "dgx-h100", "--gpus", "4", "--launch", "mpi"),
                ("collective", "--topology", "groqnode", "--kind", "sendrecv", "--bytes", "4000",
                 "--hop-latency", "C", "--set", "read=4", "--check-values"),
                ("run", "--model", "story", "--topology", "groqrack", "--tokens", "2", "--nodes",
                 "2", "--weights", "int8", "--failed", "0.1", "--chips-per-rank", "auto"),
                ("plan", "--model", "llama-2-7b", "--topology", "groqrack", "--weights", "int8",
                 "--context", "128", "--failed", "0.3"),
                ("generate", *flags, "--sequences", "2", "--prefill-batch", "1", "--timeline",
                 "--timeline-steps", "2")):
            with self.subTest(kind=kind):
                done = lockstep(self.controller, "submit", kind, *more, "--wait", "--json")
                result = json.loads(done.splitlines()[-1])
                self.assertEqual(result["state"], "SUCCEEDED", result)
                if kind == "sweep":
                    rows = lockstep(self.controller, "artifacts", result["id"], "--get",
                                    "report.csv").splitlines()
                    self.assertEqual([row.split(",")[:2] for row in rows[1:]],
                                     [["all_reduce", "8"], ["all_reduce", "1024"],
                                      ["broadcast", "8"], ["broadcast", "1024"]])
        self.assertIn("--check", lockstep(self.controller, "submit", "sweep", "--baseline-only",
                                          "--check", "1K", code=2))
        self.assertIn("spec.run.timeline_steps", lockstep(
            self.controller, "submit", "run", "--model", "story", "--topology", "groqcard",
            "--tokens", "1", "--timeline-steps", "2", code=1))
        lockstep(self.controller, "delete", job)
        self.assertIn("no job", lockstep(self.controller, "watch", job, code=1))
        self.assertIn("spec.generate.model", lockstep(
            self.controller, "submit", "generate", "--model", "../x", *flags[2:], code=1))
        lockstep(self.controller, "jobs", "--state", "nosuch", code=2)
        lockstep(self.controller, "jobs", code=2, LOCKSTEP_SERVER="")
        lockstep(self.controller, "jobs", "--server=127.0.0.1:1", "--timeout=1", code=5)
        long = lockstep(self.controller, "submit", "generate", *flags[:7], "240",
                        "--max-seconds", "1", "--wait", "--ignore-eos", "--topology", "groqnode",
                        code=2)
        self.assertIn("--topology", long)


class LifeTest(unittest.TestCase):
    """Reload and shutdown: controllers of their own."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def file(self, name, text):
        """Its path, once written."""
        path = pathlib.Path(self.folder.name, name)
        path.write_text(text, encoding="utf-8")
        return str(path)

    def test_hold_and_limits_follow_the_file_on_sighup(self):
        """A job waits while the file says hold."""
        config = self.file("config.toml", "hold = true\n")
        with Controller(f"--config={config}") as controller, controller.client() as client:
            job = client.submit(story(2))
            time.sleep(0.3)
            self.assertEqual(client.get(job.id).state, job_pb2.QUEUED)
            self.file("config.toml", "nosuch = 1\n")
            controller.process.send_signal(signal.SIGHUP)
            until(lambda: "reload refused" in controller.text_of_log(), "refusal")
            self.file("config.toml", "hold = false\nmax-ranks = 3\n")
            controller.process.send_signal(signal.SIGHUP)
            client.follow(job.id)
            with self.assertRaises(grpc.RpcError) as caught:
                client.submit(story(2, threads=None, chips=4))
            self.assertIn("a job here may have 3", caught.exception.details())

    def test_shutdown_queues_jobs_and_the_next_start_runs_them(self):
        """SIGTERM in the middle of a job."""
        with Controller() as controller, controller.client() as client:
            job = client.submit(story(150, threads=None, chips=2))
            until(lambda: client.get(job.id).text, "text")
            controller.process.send_signal(signal.SIGTERM)
            self.assertEqual(controller.process.wait(60), 0)
            self.assertFalse(marked(controller.store))
            controller.start()
            job = client.follow(job.id)
            self.assertEqual((job.interruptions, job.failed_attempts), (0, 0))

    def test_watchers_hear_each_word_once_over_a_restart(self):
        """One of the library, one of the command line, both from before SIGTERM."""
        with Controller() as controller, controller.client() as client:
            job = client.submit(story(150, threads=None, chips=2))
            # pylint: disable-next=consider-using-with
            shell = subprocess.Popen([LOCKSTEP, "watch", job.id], stdout=subprocess.PIPE, text=True,
                                     stderr=subprocess.DEVNULL,
                                     env={**os.environ, "LOCKSTEP_SERVER": controller.address})
            parts, first = [], controller.process
            for event in client.events(job.id):
                parts.append(event.text)
                if len("".join(parts)) > 20 and controller.process is first:
                    first.send_signal(signal.SIGTERM)
                    self.assertEqual(first.wait(60), 0)
                    controller.start()
            text = client.get(job.id).text
            self.assertEqual("".join(parts), text)
            self.assertEqual(shell.communicate(timeout=60)[0], text + "\n")
            self.assertEqual(shell.returncode, 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
