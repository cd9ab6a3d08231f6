#!/usr/bin/env python3
"""Runs a command under mpirun on several "hosts" of this machine: network namespaces on one bridge.

    host 1 (mpirun) ---veth--- [ bridge in a namespace of its own ] ---veth--- host 2, host 3, ...

Usage: host_namespaces.py HOSTS RANKS_PER_HOST PROGRAM [ARGUMENT...]

Each host has an address, a host name and a loopback of its own, so Open MPI counts them as different
and ranks of two of them exchange over TCP only. mpirun reaches the others through a launch agent that
enters the namespace, where a cluster has ssh. Needs root and the right to make namespaces: else exit
code 77. Everything is taken down at the end, whatever happens. Standard output is the program's;
standard error ends with what each host sent: `host_namespaces: host 1 sent 123456 B`.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

SKIPPED = 77
TIMEOUT = 300
AGENT = """#!/bin/sh
# Called by mpirun as: agent ADDRESS COMMAND...
host=${{1##*.}}
shift
exec ip netns exec {prefix}$host unshare --uts sh -c "hostname {prefix}$host; $*"
"""


class Hosts:
    """Namespaces PREFIX1 .. PREFIXn with addresses 10.200.0.1 .. n, and PREFIX0 with the bridge."""

    def __init__(self, count):
        self.prefix = f"ls{os.getpid()}h"
        self.count = count

    def __enter__(self):
        try:
            self.build()
        except subprocess.CalledProcessError as error:
            self.__exit__()
            print(f"host_namespaces: skipped, no namespaces here: {' '.join(error.cmd)}: "
                  f"{error.stderr.strip()}", file=sys.stderr)
            sys.exit(SKIPPED)
        return self

    def build(self):
        self.ip("netns", "add", self.name(0))
        self.within(0, "link", "add", "name", "bridge", "type", "bridge")
        self.within(0, "link", "set", "bridge", "up")
        for host in range(1, self.count + 1):
            self.ip("netns", "add", self.name(host))
            self.within(host, "link", "add", "eth0", "type", "veth", "peer", "name", f"port{host}",
                        "netns", self.name(0))
            self.within(0, "link", "set", f"port{host}", "master", "bridge", "up")
            self.within(host, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            self.within(host, "link", "set", "eth0", "up")
            self.within(host, "link", "set", "lo", "up")

    def __exit__(self, *_):
        for host in range(self.count + 1):
            pids = subprocess.run(["ip", "netns", "pids", self.name(host)], capture_output=True,
                                  text=True, check=False).stdout.split()
            for pid in map(int, pids):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            subprocess.run(["ip", "netns", "delete", self.name(host)], capture_output=True,
                           check=False)

    def name(self, host):
        return f"{self.prefix}{host}"

    @staticmethod
    def address(host):
        return f"10.200.0.{host}"

    @staticmethod
    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

    def within(self, host, *arguments):
        self.ip("-n", self.name(host), *arguments)

    def sent_bytes(self, host):
        text = subprocess.run(
            ["ip", "netns", "exec", self.name(host), "cat",
             "/sys/class/net/eth0/statistics/tx_bytes"],
            check=True, capture_output=True, text=True).stdout
        return int(text)

    def mpirun(self, folder, ranks, command):
        """Runs it from host 1, as from the head node of a cluster; returns its exit code."""
        agent = pathlib.Path(folder, "agent")
        agent.write_text(AGENT.format(prefix=self.prefix), encoding="utf-8")
        agent.chmod(0o755)
        hostfile = pathlib.Path(folder, "hosts")
        hostfile.write_text("".join(f"{self.address(h)} slots={ranks}\n"
                                    for h in range(1, self.count + 1)), encoding="utf-8")
        line = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none",
                "--mca", "pml", "ob1", "--mca", "plm_rsh_agent", str(agent),
                "--mca", "oob_tcp_if_include", "eth0", "--mca", "btl_tcp_if_include", "eth0",
                "--hostfile", str(hostfile), "-n", str(ranks * self.count), *command]
        inside = ["ip", "netns", "exec", self.name(1), "unshare", "--uts", "sh", "-c",
                  f'hostname {self.name(1)}; exec "$@"', "sh", *line]
        return subprocess.run(inside, timeout=TIMEOUT, check=False).returncode


def main():
    if len(sys.argv) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    hosts, ranks, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if not 1 <= hosts <= 200 or ranks < 1:
        print("host_namespaces: need 1..200 hosts and at least 1 rank on each", file=sys.stderr)
        return 2
    for tool in ("ip", "unshare", "mpirun"):
        if shutil.which(tool) is None:
            print(f"host_namespaces: skipped, there is no {tool}", file=sys.stderr)
            return SKIPPED
    with Hosts(hosts) as made, tempfile.TemporaryDirectory() as folder:
        code = made.mpirun(folder, ranks, command)
        for host in range(1, hosts + 1):
            print(f"host_namespaces: host {host} sent {made.sent_bytes(host)} B", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
