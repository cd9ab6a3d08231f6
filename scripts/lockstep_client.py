"""A client of the controller, for scripts: submits jobs, follows them over interruptions, fetches
what they leave. The messages are those of proto/lockstep/v1/; their Python form is made by the
build, in build/<preset>/python, which $LOCKSTEP_PYTHON names if it is another folder than
build/release/python.

    from lockstep_client import Client
    with Client("127.0.0.1:9090") as client:
        job = client.submit({"generate": {"model": "story", "machine": {"topology": "groqnode"},
                                          "prompt": "Once upon a time", "tokens": 60}})
        job = client.follow(job.id, text=print)
        report = json.loads(client.artifact(job.id, "report.json"))
"""

import os
import pathlib
import sys
import time
import uuid

import grpc
from google.protobuf import json_format

sys.path.insert(0, os.environ.get("LOCKSTEP_PYTHON") or str(
    pathlib.Path(__file__).resolve().parents[1] / "build" / "release" / "python"))

# pylint: disable=wrong-import-position,import-error
from lockstep.v1 import controller_pb2, controller_pb2_grpc, error_pb2, job_pb2

ENDED = (job_pb2.SUCCEEDED, job_pb2.FAILED, job_pb2.CANCELLED)
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class JobError(Exception):
    """A job that was waited for did not succeed; `job` says why."""

    def __init__(self, job):
        super().__init__(f"job {job.id} is {job_pb2.JobState.Name(job.state)}: "
                         f"{job.failure.message}")
        self.job = job


def field_of(error):
    """The field that an error of the service names, or None."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in error_pb2.StatusDetails.FromString(value).details:
                bad = error_pb2.BadRequest.FromString(detail.value)
                return bad.field_violations[0].field
    return None


class Client:
    """One channel. `server`: unix:/PATH or HOST:PORT, else $LOCKSTEP_SERVER. `ca`, `cert`, `key`: PEM
    files; with `ca` TLS is used, with the others the client shows a certificate of its own."""

    def __init__(self, server=None, token=None, ca=None, cert=None, key=None, timeout=60):
        server = server or os.environ["LOCKSTEP_SERVER"]
        token = os.environ.get("LOCKSTEP_TOKEN") if token is None else token
        self._metadata = (("authorization", "Bearer " + token),) if token else ()
        self._timeout = timeout
        options = (("grpc.max_receive_message_length", 64 << 20),
                   ("grpc.initial_reconnect_backoff_ms", 50),
                   ("grpc.min_reconnect_backoff_ms", 5000),  # what one attempt may take
                   ("grpc.max_reconnect_backoff_ms", 500),
                   ("grpc.use_local_subchannel_pool", 1))
        if ca:
            files = [pathlib.Path(f).read_bytes() if f else None for f in (ca, key, cert)]
            self.channel = grpc.secure_channel(server, grpc.ssl_channel_credentials(*files),
                                               options)
        else:
            self.channel = grpc.insecure_channel(server, options)
        self.stub = controller_pb2_grpc.ControllerStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def call(self, method, request):
        """The answer; made again for as long as the controller is away, up to the timeout."""
        end = time.monotonic() + self._timeout
        while True:
            try:
                return method(request, metadata=self._metadata,
                              timeout=max(0.1, end - time.monotonic()))
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def submit(self, spec, request_id=None):
        """The job made from `spec`, a JobSpec or a dict of its JSON form. Safe to call again with
        the same request_id."""
        if isinstance(spec, dict):
            spec = json_format.ParseDict(spec, job_pb2.JobSpec())
        return self.call(self.stub.Submit, controller_pb2.SubmitRequest(
            request_id=request_id or str(uuid.uuid4()), spec=spec))

    def get(self, job_id):
        """The job as it is now, with its text."""
        return self.call(self.stub.Get, controller_pb2.GetRequest(job_id=job_id))

    def jobs(self, **filters):
        """All jobs, newest first; filters are fields of ListRequest."""
        token = ""
        while True:
            page = self.call(self.stub.List, controller_pb2.ListRequest(
                page_size=1000, page_token=token, **filters))
            yield from page.jobs
            token = page.next_page_token
            if not token:
                return

    def events(self, job_id, after=0):
        """Each event after a cursor once, in order, until the job has ended."""
        heard = time.monotonic()
        while True:
            try:
                for event in self.stub.Watch(
                        controller_pb2.WatchRequest(job_id=job_id, after_seq=after),
                        metadata=self._metadata):
                    heard = time.monotonic()
                    after = event.seq
                    yield event
                return
            except grpc.RpcError as error:
                if error.code() not in _AWAY or time.monotonic() - heard > self._timeout:
                    raise
                time.sleep(0.05)

    def follow(self, job_id, text=None, must_succeed=True):
        """The job when it has ended; `text` is called with each part of what it generates."""
        for event in self.events(job_id):
            if text and event.WhichOneof("what") == "text":
                text(event.text)
        job = self.get(job_id)
        if must_succeed and job.state != job_pb2.SUCCEEDED:
            raise JobError(job)
        return job

    def cancel(self, job_id):
        """Asks it to end; returns at once."""
        return self.call(self.stub.Cancel, controller_pb2.CancelRequest(job_id=job_id))

    def delete(self, job_id):
        """Removes an ended job and its files."""
        self.call(self.stub.Delete, controller_pb2.DeleteRequest(job_id=job_id))

    def artifact(self, job_id, name):
        """The bytes of a file that the job left; goes on where an interruption was."""
        data, end = b"", time.monotonic() + self._timeout
        while True:
            try:
                for chunk in self.stub.GetArtifact(controller_pb2.GetArtifactRequest(
                        job_id=job_id, name=name, offset=len(data)), metadata=self._metadata):
                    data += chunk.data
                return data
            except grpc.RpcError as error:
                if error.code() not in _AWAY or time.monotonic() > end:
                    raise
                time.sleep(0.05)
