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

ROOT = pathlib.Path(__file__).resolve().parents[2]


class JobFailed(Exception):
    """What the job said."""


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


def _run(job):
    own = ROOT / "models" / job["model"]  # a controller finds these by name, too
    flags = ["run", "--engine=timing", "--transport=local",
             f"--model={own if own.is_dir() else job['model']}",
             f"--prompt-ids={','.join(['0'] * max(1, job.get('promptTokens', 1)))}",
             f"--tokens={job['tokens']}", "--report=report.json", "--links=links.csv", "--quiet",
             *_machine(job["machine"])]
    for key, flag in (("context", "context"), ("nodes", "nodes"), ("sequences", "sequences"),
                      ("weights", "weights")):
        if key in job:
            flags.append(f"--{flag}={job[key]}")
    return flags


_COMMANDS = {"collective": _collective, "collectiveSweep": _sweep, "run": _run}


class Local:
    """Jobs as commands of one executable."""

    def __init__(self, executable):
        self.executable = executable.resolve()
        self.identity = hashlib.sha256(self.executable.read_bytes()).hexdigest()[:16]

    def run(self, spec, _):
        (kind, job), = spec.items()
        with tempfile.TemporaryDirectory() as folder:
            command = [str(self.executable), *_COMMANDS[kind](job)]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode != 0:
                raise JobFailed(f"{' '.join(command[1:])}: {done.stderr.strip()}")
            return {p.name: p.read_bytes() for p in pathlib.Path(folder).iterdir()}


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
        if "run" in spec:
            spec = {"run": {"placement": {"threads": 1}, **spec["run"]}}
        text = json.dumps(spec, sort_keys=True)
        name = f"study-{nonce}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        try:
            job = self.client.follow(self.client.submit(spec, name).id)
        except self._grpc.RpcError as error:
            raise JobFailed(f"{text}: {error.details()}") from error
        except self._module.JobError as error:
            raise JobFailed(f"{text}: {error}") from error
        return {a.name: self.client.artifact(job.id, a.name) for a in job.artifacts}
