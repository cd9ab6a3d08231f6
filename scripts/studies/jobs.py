"""Where a study gets its figures: jobs, in the JSON form of JobSpec (proto/lockstep/v1/job.proto), run
by `lockstep` on this host or by a controller. Either way a job leaves the same files.

    {"collective": {...}} --+--> Local:  lockstep collective --report report.json ...
                            '--> Server: lockstepd, over gRPC
"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


class JobFailed(Exception):
    """What the job said."""


class Outcome(dict):
    """The files of a job by name, and what it took of the host: seconds from start to end, seconds of
    all its processes on cores, the most MB that one of them held."""

    def __init__(self, files, wall_seconds, cpu_seconds, process_bytes):
        super().__init__(files)
        self.seconds, self.cpu_seconds = wall_seconds, cpu_seconds
        self.megabytes = process_bytes / (1 << 20)


def _machine(machine):
    flags = [f"--topology={machine['topology']}"]
    if "hopLatency" in machine:
        flags.append(f"--hop-latency={machine['hopLatency']}")
    if "chips" in machine:
        flags.append(f"--chips={machine['chips']}")
    return flags + [f"--set={latency}" for latency in machine.get("latencies", ())]


def _collective(job):
    return ["collective", f"--kind={job['kind']}", f"--bytes={job['bytes']}",
            "--report=report.json", "--links=links.csv", *_machine(job["machine"])]


def _sweep(job):
    return ["compare", f"--collective={job['kinds'][0]}", f"--baseline={job['baseline']}",
            f"--sizes={','.join(map(str, job['bytes']))}", "--csv=report.csv",
            *_machine(job["machine"])]


def _model(job):
    own = ROOT / "models" / job["model"]  # a controller finds these by name, too
    flags = [f"--model={own if own.is_dir() else job['model']}"]
    for key, flag in (("context", "context"), ("nodes", "nodes"), ("sequences", "sequences"),
                      ("weights", "weights"), ("kvCache", "kv"), ("promptFlight", "prompt-flight"),
                      ("prefillBatch", "prefill-batch")):
        if key in job:
            flags.append(f"--{flag}={job[key]}")
    return flags


def _run(job):
    return ["run", "--engine=timing", "--transport=local", *_model(job), *_machine(job["machine"]),
            f"--prompt-ids={','.join(['0'] * max(1, job.get('promptTokens', 1)))}",
            f"--tokens={job['tokens']}", f"--threads={job['placement']['threads']}",
            "--report=report.json", "--links=links.csv", "--quiet"]


def _plan(job):
    machine = job["machine"]
    return ["plan", *_model(job), f"--topology={machine['topology']}",
            f"--tensor-parallel={machine['chips']}", "--json=report.json"]


_COMMANDS = {"collective": _collective, "collectiveSweep": _sweep, "plan": _plan, "run": _run}


def _complete(spec):
    """A run's chips share one process, of one thread unless more are asked for."""
    return {"run": {"placement": {"threads": 1}, **spec["run"]}} if "run" in spec else spec


class Local:
    """Jobs as commands of one executable."""

    def __init__(self, executable):
        self.executable = executable.resolve()
        self.identity = hashlib.sha256(self.executable.read_bytes()).hexdigest()[:16]

    def run(self, spec, _):
        (kind, job), = _complete(spec).items()
        command = [str(self.executable), *_COMMANDS[kind](job)]
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
            start = time.monotonic()
            child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
            _, status, use = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode != 0:
                errors.seek(0)
                raise JobFailed(f"{' '.join(command[1:])}: {errors.read().strip()}")
            return Outcome({p.name: p.read_bytes() for p in pathlib.Path(folder).iterdir()},
                           time.monotonic() - start, use.ru_utime + use.ru_stime,
                           use.ru_maxrss << 10)


class Server:
    """Jobs of a controller. Its token and certificate authority: $LOCKSTEP_TOKEN, $LOCKSTEP_CA."""

    def __init__(self, address):
        sys.path.insert(0, str(ROOT / "scripts"))
        import grpc
        import lockstep_client
        self._grpc, self._module = grpc, lockstep_client
        self.client = lockstep_client.Client(address, ca=os.environ.get("LOCKSTEP_CA"))
        version = self.client.call(self.client.stub.GetVersion,
                                   lockstep_client.controller_pb2.GetVersionRequest())
        self.identity = f"controller {version.version} store {version.store_id}"

    def run(self, spec, nonce):
        """Asked again after an interruption, it is the same job: its request is named by its content."""
        spec = _complete(spec)
        text = json.dumps(spec, sort_keys=True)
        name = f"study-{nonce}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        try:
            job = self.client.follow(self.client.submit(spec, name).id)
        except self._grpc.RpcError as error:
            raise JobFailed(f"{text}: {error.details()}") from error
        except self._module.JobError as error:
            raise JobFailed(f"{text}: {error}") from error
        used = job.used
        return Outcome({a.name: self.client.artifact(job.id, a.name) for a in job.artifacts},
                       used.wall_seconds, used.cpu_seconds, used.process_bytes)
