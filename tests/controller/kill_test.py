#!/usr/bin/python3
"""The controller, mpirun and ranks are killed at moments of chance while clients submit jobs.

    kill_test.py BIN_DIR SOURCE_DIR [--long] [--controller-kills N] [--rank-kills N] [--seed N]
                 [--clients N]

First SIGKILL to lockstepd, again and again, while clients submit small jobs with retries: no job is
lost, none is there twice, none runs twice at once, no process is left, and each has the digests of
an undisturbed run. Then SIGKILL to a rank or to mpirun of jobs of several ranks, at moments spread
over their work: each job is tried again, names rank and signal, and ends with the digests of an
undisturbed run. A kill counts if its victim was there. --long: 200 kills of the controller, 50 of
ranks and mpirun.
"""

import argparse
import collections
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


def moment(streams, rng):
    """Waits: sometimes so little that the controller has not recovered, sometimes until a job more
    has ended, so that the stream moves on however slow the host is."""
    if rng.random() < 0.5:
        ended = sum(len(stream.done) for stream in streams)
        until(lambda: sum(len(stream.done) for stream in streams) > ended
              or any(stream.wrong for stream in streams), "a job ends")
    time.sleep(rng.uniform(0.0, rng.choice((0.1, 0.3, 1.0))))


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
            moment(streams, rng)
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


def kill_one(controller, client, job, name, rng):
    """Whether a process of that name was there to be killed when its job had come so far: moments
    are spread over the work, not over time, which depends on the host's load."""
    until(lambda: any(p[1].startswith(name) for p in marked(controller.store)), f"{name} starts")
    fraction = rng.uniform(-0.1, 0.9)

    def due():
        now = client.get(job)
        return now.progress.fraction >= fraction or now.state == job_pb2.SUCCEEDED
    until(due, "progress")
    time.sleep(rng.uniform(0.0, 0.1))
    victims = [p[0] for p in marked(controller.store) if p[1].startswith(name)]
    try:
        os.kill(rng.choice(victims), signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False  # the job was done
    return True


def reasons_of(client, job):
    """Of the attempts that failed; each names what it must."""
    for event in client.events(job.id):
        failure = event.state.failure
        if failure.reason:
            reason = job_pb2.Failure.Reason.Name(failure.reason)
            assert failure.transient and failure.message, failure
            assert failure.signal == signal.SIGKILL, failure
            assert reason in ("RANK_DIED", "MPIRUN_DIED"), failure
            assert reason != "RANK_DIED" or failure.HasField("rank"), failure
            yield reason


def kill_ranks(kills, rng):
    """The second part."""
    with Controller() as controller, controller.client() as client:
        expected = digests(client, client.follow(client.submit(RANKS).id))
        names, reasons, missed = collections.Counter(), collections.Counter(), 0
        while names.total() < kills:
            name = "mpirun" if rng.random() < 0.3 else "lockstep-chip"
            job = client.submit(RANKS)
            hit = kill_one(controller, client, job.id, name, rng)
            job = client.follow(job.id)
            found = list(reasons_of(client, job))
            # One that had done its work already may be killed without harm to the job.
            assert len(found) <= int(hit), (found, hit)
            names[name] += hit
            missed += not hit
            reasons.update(found)
            assert digests(client, job) == expected, job
            assert missed <= 10 + kills, "hardly a kill hits anything"
        print(f"ranks: {names.total()} kills ({dict(names)}), {missed} more came too late; attempts "
              f"that failed {dict(reasons)}; every job was tried again and ended with equal digests")
        assert kills == 0 or reasons, "no kill hurt anything"
    print("ranks: 0 orphans")


def main():
    """Both parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("source")
    parser.add_argument("--controller-kills", type=int, default=12)
    parser.add_argument("--rank-kills", type=int, default=4)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.long:
        options.controller_kills, options.rank_kills = 200, 50
    print("seed", options.seed)
    rng = random.Random(options.seed)
    kill_controllers(options.controller_kills, options.clients, rng)
    kill_ranks(options.rank_kills, rng)
    return 0


if __name__ == "__main__":
    sys.exit(main())
