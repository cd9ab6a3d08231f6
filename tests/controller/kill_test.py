#!/usr/bin/python3
"""The controller, mpirun and ranks are killed at moments of chance while clients submit jobs.

    kill_test.py BIN_DIR SOURCE_DIR [--controller-kills N] [--rank-kills N] [--seed N] [--clients N]

First SIGKILL to lockstepd, again and again, while clients submit small jobs with retries: no job is
lost, none is there twice, none runs twice at once, no process is left, and each has the digests of
an undisturbed run. Then SIGKILL to a rank or to mpirun of jobs of several ranks: each job is tried
again, names rank and signal, and ends with the digests of an undisturbed run.
"""

import argparse
import json
import random
import signal
import sys
import threading
import time

from harness import Controller, job_pb2, marked, os, story, until

# Small jobs of three kinds: one process, ranks, and sampled text.
KINDS = [story(10), story(24, threads=2, sampling={"temperature": 0.8, "seed": 7}),
         story(6, threads=None, chips=2)]
RANKS = story(80, threads=None, chips=3)


def digests(client, job):
    """Of timing, values and plan, and the text: what must not depend on what happened."""
    output = json.loads(client.artifact(job.id, "report.json"))["output"]
    return (output["timing_digest"], output["value_digest"], tuple(output["ids"]), job.text)


class Stream(threading.Thread):
    """A client that submits jobs one after another, each twice, until told to stop."""

    def __init__(self, controller, number, expected):
        super().__init__()
        self.controller, self.number, self.expected = controller, number, expected
        self.stop, self.done, self.wrong = False, {}, []

    def run(self):
        with self.controller.client(timeout=600) as client:
            while not self.stop:
                kind = len(self.done) % len(KINDS)
                request = f"{self.number}-{len(self.done)}"
                try:
                    job = client.submit(KINDS[kind], request)
                    again = client.submit(KINDS[kind], request)
                    assert job.id == again.id, "one request made two jobs"
                    parts = []
                    job = client.follow(job.id, text=parts.append)
                    assert "".join(parts) == job.text, "text came twice, or not at all"
                    assert digests(client, job) == self.expected[kind], f"{job.id} differs"
                    self.done[request] = job
                except Exception as problem:  # pylint: disable=broad-except
                    self.wrong.append(f"{request}: {problem!r}")
                    return


class Sampler(threading.Thread):
    """Looks for a job that two attempts run at once."""

    def __init__(self, store):
        super().__init__(daemon=True)
        self.store, self.stop, self.looks, self.twice = store, False, 0, []

    def run(self):
        while not self.stop:
            attempts = {}
            for _, _, job, attempt in marked(self.store):
                attempts.setdefault(job, set()).add(attempt)
            self.twice += [(job, found) for job, found in attempts.items() if len(found) > 1]
            self.looks += 1
            time.sleep(0.02)


def kill_controllers(kills, clients, rng):
    """The first part."""
    # So many kills are no fault of any job: none of them is given up for that.
    with Controller("--max-interruptions=100000") as controller:
        with controller.client() as client:
            expected = [digests(client, client.follow(client.submit(kind).id)) for kind in KINDS]
            undisturbed = len(list(client.jobs()))
        streams = [Stream(controller, n, expected) for n in range(clients)]
        sampler = Sampler(controller.store)
        sampler.start()
        for stream in streams:
            stream.start()
        for _ in range(kills):
            # Sometimes before it has recovered, sometimes after jobs have ended.
            time.sleep(rng.uniform(0.0, rng.choice((0.2, 1.0, 3.0))))
            controller.kill()
            controller.start()
        for stream in streams:
            stream.stop = True
        for stream in streams:
            stream.join()
        sampler.stop = True
        wrong = [problem for stream in streams for problem in stream.wrong]
        assert not wrong, wrong
        assert not sampler.twice, sampler.twice
        with controller.client() as client:
            jobs = list(client.jobs())
        requests = {request for stream in streams for request in stream.done}
        found = [job.request_id for job in jobs if job.request_id in requests]
        lost, twice = len(requests) - len(set(found)), len(found) - len(set(found))
        assert len(jobs) == len(requests) + undisturbed, "jobs that nobody asked for"
        assert (lost, twice) == (0, 0), (lost, twice)
        assert all(job.state == job_pb2.SUCCEEDED for job in jobs)
        interruptions = sum(job.interruptions for job in jobs)
        print(f"controller: {kills} kills, {len(requests)} jobs of {clients} clients, "
              f"{interruptions} attempts interrupted, {sampler.looks} looks at /proc: "
              f"0 lost, 0 duplicated, 0 at once twice, all digests equal")
    print("controller: 0 orphans")


def kill_ranks(kills, rng):
    """The second part."""
    with Controller() as controller, controller.client() as client:
        expected = digests(client, client.follow(client.submit(RANKS).id))
        reasons = {}
        for count in range(kills):
            name = "mpirun" if rng.random() < 0.3 else "lockstep-chip"
            job = client.submit(RANKS, f"rank-{count}")
            victims = until(lambda: [p for p in marked(controller.store) if p[1].startswith(name)],
                            f"{name} starts")
            time.sleep(rng.uniform(0.0, 0.7))
            victims = [p for p in marked(controller.store) if p[1].startswith(name)] or victims
            try:
                os.kill(rng.choice(victims)[0], signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was done before its time had come
            job = client.follow(job.id, must_succeed=False)
            if job.state == job_pb2.FAILED:
                assert job.failure.reason and job.failure.message, job
                reasons["FAILED " + job.failure.message] = 1 + reasons.get(
                    "FAILED " + job.failure.message, 0)
                job = client.follow(client.submit(RANKS).id)
            for event in client.events(job.id):
                failure = event.state.failure
                if failure.reason:
                    assert failure.transient and failure.message, failure
                    reason = job_pb2.Failure.Reason.Name(failure.reason)
                    assert reason != "RANK_DIED" or failure.HasField("rank"), failure
                    reasons[reason] = reasons.get(reason, 0) + 1
            assert digests(client, job) == expected, job
        print(f"ranks: {kills} kills of a rank or mpirun, reasons {reasons}; "
              f"every job or its retry ended with equal digests")
        assert kills == 0 or reasons, "no kill hit anything"
    print("ranks: 0 orphans")


def main():
    """Both parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("source")
    parser.add_argument("--controller-kills", type=int, default=12)
    parser.add_argument("--rank-kills", type=int, default=4)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("seed", options.seed)
    rng = random.Random(options.seed)
    kill_controllers(options.controller_kills, options.clients, rng)
    kill_ranks(options.rank_kills, rng)
    return 0


if __name__ == "__main__":
    sys.exit(main())
