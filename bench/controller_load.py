#!/usr/bin/python3
"""What a controller carries: submissions a second and watch latency with 1, 16 and 64 clients, memory
with 1,000 watchers of one job, lists with 10,000 finished jobs.

    controller_load.py BIN_DIR SOURCE_DIR [--seconds S] [--watchers N] [--finished N]

Clients are threads of a few Python processes on the same host, so they take from the same cores; the
share of the controller's own processor time is printed beside each figure.
"""

import argparse
import multiprocessing
import os
import pathlib
import sqlite3
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "controller"))
# pylint: disable=wrong-import-position
from harness import Client, Controller, controller_pb2, job_pb2, story, until

TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid):
    """Of the controller alone."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid):
    """What it holds now."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def submit_for(address, threads, seconds, results):
    """Threads that submit as fast as they are answered; puts latencies."""
    found, lock = [], threading.Lock()

    def work():
        own = []
        with Client(address) as client:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                start = time.monotonic()
                client.submit(story(4))
                own.append(time.monotonic() - start)
        with lock:
            found.extend(own)
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    results.put(found)


def submissions(controller, clients, seconds):
    """One row: rate, median and 99th percentile."""
    processes = min(clients, 4)
    spawn = multiprocessing.get_context("spawn")  # a fork of a process that has used gRPC hangs
    results = spawn.Queue()
    before, start = processor_seconds(controller.process.pid), time.monotonic()
    workers = [spawn.Process(target=submit_for, args=(
        controller.address, clients // processes, seconds, results)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    times = sorted(t for _ in workers for t in results.get())
    for worker in workers:
        worker.join()
    wall = time.monotonic() - start
    busy = (processor_seconds(controller.process.pid) - before) / wall
    print(f"submit   {clients:3d} clients: {len(times) / seconds:7.1f} a second, median "
          f"{1000 * statistics.median(times):6.1f} ms, 99 % {1000 * times[len(times) * 99 // 100]:6.1f} "
          f"ms; controller {100 * busy:3.0f} % of a core")


def watch_latency(controller, clients, rounds=20):
    """From asking for a cancel to its event at each of `clients` watchers of the job."""
    times = []
    with controller.client() as client:
        for _ in range(rounds):
            job = client.submit(story(4))
            seen, ready = [], threading.Barrier(clients + 1)

            def watch(job_id, seen, ready):
                with controller.client() as own:
                    for event in own.events(job_id):
                        if event.seq == 1:
                            ready.wait()
                        if event.state.state == job_pb2.CANCELLED:
                            seen.append(time.monotonic())
            watchers = [threading.Thread(target=watch, args=(job.id, seen, ready))
                        for _ in range(clients)]
            for watcher in watchers:
                watcher.start()
            ready.wait()
            start = time.monotonic()
            client.cancel(job.id)
            for watcher in watchers:
                watcher.join()
            times += [t - start for t in seen]
    times.sort()
    print(f"watch    {clients:3d} watchers: median {1000 * statistics.median(times):6.1f} ms, 99 % "
          f"{1000 * times[len(times) * 99 // 100]:6.1f} ms from the call of Cancel to its event")


def many_watchers(count):
    """Memory with `count` watchers of one job that streams text."""
    with Controller() as controller, controller.client() as client:
        client.follow(client.submit(story(4)).id)
        before = resident_mib(controller.process.pid)
        blocker = client.submit(story(240, threads=None, chips=2))  # so that the next one waits
        job = client.submit(story(240, threads=None, chips=2))
        channels = [controller.client() for _ in range(8)]
        request = controller_pb2.WatchRequest(job_id=job.id)
        streams = [channels[n % 8].stub.Watch(request) for n in range(count)]
        for stream in streams:
            next(stream)
        held = resident_mib(controller.process.pid)
        client.follow(blocker.id)
        client.follow(job.id)  # none of the watchers reads meanwhile
        slow = resident_mib(controller.process.pid)
        text = client.get(job.id).text
        for stream in streams:
            assert "".join(event.text for event in stream) == text
        print(f"watchers {count} of one job: {held - before:.1f} MiB more with all waiting, "
              f"{slow - before:.1f} MiB when the job had ended and none had read; all got its text")
        for channel in channels:
            channel.channel.close()


def long_list(count):
    """Lists with `count` ended jobs in the store."""
    with Controller() as controller:
        with controller.client() as client:
            client.follow(client.submit(story(2)).id)
        controller.process.terminate()
        controller.process.wait()
        with sqlite3.connect(f"{controller.folder}/state/jobs.sqlite") as store:
            row, = store.execute("SELECT job FROM jobs WHERE id = 1").fetchone()
            job = job_pb2.Job.FromString(row)
            for number in range(2, count + 1):
                job.id = f"j{number}"
                store.execute("INSERT INTO jobs VALUES (?, NULL, ?, 'generate', '', 0, ?)",
                              (number, job.state, job.SerializeToString()))
        store.close()
        start = time.monotonic()
        controller.start()
        started = time.monotonic() - start
        with controller.client() as client:
            start = time.monotonic()
            client.stub.List(controller_pb2.ListRequest(page_size=100))
            first = time.monotonic() - start
            start = time.monotonic()
            assert len(list(client.jobs())) == count
            everything = time.monotonic() - start
            start = time.monotonic()
            client.stub.List(controller_pb2.ListRequest(states=[job_pb2.RUNNING]))
            none = time.monotonic() - start
        print(f"list     {count} ended jobs: 100 newest {1000 * first:.1f} ms, all in pages of 1000 "
              f"{everything:.2f} s, those running {1000 * none:.1f} ms; start took {started:.2f} s")


def main():
    """All figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("source")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--finished", type=int, default=10_000)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with Controller("--hold") as controller:
        until(lambda: controller.process.poll() is None, "it runs")
        for clients in (1, 16, 64):
            submissions(controller, clients, options.seconds)
        for clients in (1, 16, 64):
            watch_latency(controller, clients)
    many_watchers(options.watchers)
    long_list(options.finished)
    return 0


if __name__ == "__main__":
    sys.exit(main())
