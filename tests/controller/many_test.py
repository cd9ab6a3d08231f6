#!/usr/bin/python3
"""Many of something: 1,000 watchers of one job, watchers that do not read, 10,000 ended jobs. What a
controller holds for them has a bound; each watcher gets all of the history, each list all of the jobs.

    many_test.py BIN_DIR SOURCE_DIR [unittest arguments]

How fast that goes is for bench/controller_load.py.
"""

import pathlib
import sqlite3
import sys
import unittest

from harness import Controller, controller_pb2, job_pb2, story

WATCHERS, WATCHERS_MIB = 1000, 64
SLOW, SLOW_MIB = 64, 64
EVENTS, EVENT_BYTES = 5_000, 4000
ENDED = 10_000


def resident_mib(controller):
    """What it holds now."""
    status = pathlib.Path(f"/proc/{controller.process.pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines()
                if line.startswith("VmRSS")) / 1024


def with_ended_job(controller):
    """A job that has ended, after which the controller is stopped for its store to be changed."""
    with controller.client() as client:
        job = client.follow(client.submit(story(2)).id)
    controller.process.terminate()
    controller.process.wait()
    job.ClearField("text")  # which its row does not have
    return job


class ManyTest(unittest.TestCase):
    """A controller a test."""

    def test_a_thousand_watchers_of_one_job_get_its_text(self):
        """All of them while it is made, none reading before it has ended."""
        with Controller() as controller, controller.client() as client:
            client.follow(client.submit(story(4)).id)
            before = resident_mib(controller)
            blocker = client.submit(story(200, threads=None, chips=2))
            job = client.submit(story(60, threads=None, chips=2))
            channels = [controller.client() for _ in range(8)]
            request = controller_pb2.WatchRequest(job_id=job.id)
            streams = [channels[n % 8].stub.Watch(request) for n in range(WATCHERS)]
            for stream in streams:
                self.assertEqual(next(stream).seq, 1)
            client.cancel(blocker.id)
            client.follow(job.id)
            held = resident_mib(controller) - before
            text = client.get(job.id).text
            self.assertTrue(text.startswith("Nora was"))
            for stream in streams:
                self.assertEqual("".join(event.text for event in stream), text)
            self.assertLess(held, WATCHERS_MIB)
            print(f"{WATCHERS} watchers: {held:.1f} MiB")
            for channel in channels:
                channel.channel.close()

    def test_watchers_that_do_not_read_hold_no_history(self):
        """A history of 20 MB: who reads gets it whole, who does not costs no more than a window."""
        with Controller() as controller:
            job = with_ended_job(controller)
            with sqlite3.connect(f"{controller.folder}/state/jobs.sqlite") as store:
                last, = store.execute("SELECT last_seq FROM jobs WHERE id = 1").fetchone()
                events = []
                for seq in range(last, last + EVENTS):
                    event = job_pb2.JobEvent(seq=seq, text=f"{seq:>{EVENT_BYTES}}")
                    events.append((seq, event.SerializeToString()))
                end = job_pb2.JobEvent(seq=last + EVENTS)
                end.state.state = job.state
                events.append((end.seq, end.SerializeToString()))
                store.execute("DELETE FROM events WHERE job = 1 AND seq = ?", (last,))
                store.executemany("INSERT INTO events VALUES (1, ?, ?)", events)
                store.execute("UPDATE jobs SET last_seq = ? WHERE id = 1", (end.seq,))
            store.close()
            controller.start()
            request = controller_pb2.WatchRequest(job_id=job.id)
            with controller.client() as client:
                self.assertEqual(sum(len(e.text) > 500 for e in client.stub.Watch(request)), EVENTS)
                before = resident_mib(controller)
                clients = [controller.client() for _ in range(SLOW)]
                streams = [one.stub.Watch(request) for one in clients]
                for stream in streams:
                    next(stream)
                self.assertEqual(sum(len(e.text) > 500 for e in client.stub.Watch(request)), EVENTS)
                held = resident_mib(controller) - before
                self.assertLess(held, SLOW_MIB)
                print(f"{SLOW} watchers that do not read: {held:.1f} MiB")
                for stream, one in zip(streams, clients):
                    stream.cancel()
                    one.channel.close()

    def test_ten_thousand_ended_jobs_are_listed_once_each(self):
        """Newest first over pages; a filter that finds none; the next job is one more."""
        with Controller() as controller:
            job = with_ended_job(controller)
            with sqlite3.connect(f"{controller.folder}/state/jobs.sqlite") as store:
                for number in range(2, ENDED + 1):
                    job.id = f"j{number}"
                    store.execute("INSERT INTO jobs VALUES (?, NULL, ?, 'generate', '', 0, ?)",
                                  (number, job.state, job.SerializeToString()))
            store.close()
            controller.start()
            with controller.client() as client:
                self.assertEqual([j.id for j in client.jobs()],
                                 [f"j{n}" for n in range(ENDED, 0, -1)])
                self.assertFalse(list(client.jobs(states=[job_pb2.QUEUED])))
                fresh = client.submit(story(2))
                self.assertEqual(fresh.id, f"j{ENDED + 1}")
                client.follow(fresh.id)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
