#!/usr/bin/python3
"""Hostile requests through a real channel: random bytes and mutated messages to every method, absurd
sizes, too much metadata, abandoned calls. Each ends with a canonical code; the controller neither
ends nor grows, and serves a good client afterwards.

    hostile_test.py BIN_DIR SOURCE_DIR [--requests N] [--seed N]
"""

import argparse
import pathlib
import random
import sys

import grpc
from google.protobuf import json_format
from harness import Controller, controller_pb2, job_pb2, story

METHODS = ["Submit", "Get", "List", "Cancel", "Delete", "ListTopologies", "ListModels", "GetVersion"]
STREAMS = ["Watch", "GetArtifact"]
CODES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL,
         grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS,
         grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNIMPLEMENTED,
         grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
GROWTH_KIB = 40 * 1024


def resident(pid):
    """KiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def good_messages():
    """Bytes of real requests, to be mutated."""
    spec = json_format.ParseDict(story(4), job_pb2.JobSpec())
    ids = json_format.ParseDict({"run": {"model": "llama-2-7b", "tokens": 3, "context": 99,
                                         "machine": {"topology": "groqnode", "chips": 8}}},
                                job_pb2.JobSpec())
    valid = json_format.ParseDict({"validate": {"only": ["V1"], "latencies": ["read=5"]}},
                                  job_pb2.JobSpec())
    return [m.SerializeToString() for m in (
        controller_pb2.SubmitRequest(request_id="r", spec=spec),
        controller_pb2.SubmitRequest(spec=ids), controller_pb2.SubmitRequest(spec=valid),
        controller_pb2.GetRequest(job_id="j1"), controller_pb2.ListRequest(page_size=7, states=[1]),
        controller_pb2.WatchRequest(job_id="j1", after_seq=2),
        controller_pb2.GetArtifactRequest(job_id="j1", name="report.json", offset=3))]


WORDS = ["", "story", "groqcard", "../../etc/passwd", "/etc/passwd", "a\0b", "\u202e", "%s%n" * 9,
         "x" * 5000, "$(id)", "-1", "--help", "j1", "j0", "j2/../..", "report.json", "nan", "A"]
NUMBERS = [0, 1, -1, 2, 7, 1 << 31, -(1 << 31), (1 << 31) - 1, 1 << 62, -(1 << 62), 1e308]


def distort(rng, message):
    """Odd values in some fields of a message, at any depth; others it has or lacks by chance."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.6:
            continue
        try:
            if field.message_type and field.label == field.LABEL_REPEATED:
                continue
            if field.message_type:
                distort(rng, getattr(message, field.name))
                getattr(message, field.name).SetInParent()
                continue
            values = [rng.choice(WORDS if field.cpp_type == field.CPPTYPE_STRING else NUMBERS)
                      for _ in range(rng.choice((1, 1, 2, 70)))]
            if field.label == field.LABEL_REPEATED:
                getattr(message, field.name).extend(values)
            else:
                setattr(message, field.name, values[0])
        except (TypeError, ValueError):
            continue  # a value that the field cannot hold
    return message


def mutate(rng, seeds):
    """A message with odd values, or with some bytes changed, cut or doubled; sometimes only noise."""
    chance = rng.random()
    if chance < 0.6:
        kind = rng.choice((controller_pb2.SubmitRequest, controller_pb2.SubmitRequest,
                           controller_pb2.ListRequest, controller_pb2.WatchRequest,
                           controller_pb2.GetArtifactRequest))
        start = kind.FromString(seeds[0]) if kind is controller_pb2.SubmitRequest else kind()
        return distort(rng, start).SerializeToString()
    if chance < 0.7:
        return rng.randbytes(rng.randrange(200))
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randrange(1, 3)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 2:
            del data[at:at + rng.randrange(8)]
        elif kind == 3:
            data[at:at] = rng.choice([b"../", b"\xff\xff\xff\xff\x0f", b"\0", b"/etc/passwd",
                                      b"\xc0\x80", b"%s%n", b"-1"])
        else:
            data[at:at] = data[at // 2:at]
    return bytes(data)


def send(channel, method, data, timeout=20, metadata=()):
    """The code with which a call of raw bytes ends."""
    make = channel.unary_stream if method in STREAMS else channel.unary_unary
    call = make(f"/lockstep.v1.Controller/{method}")
    try:
        answer = call(data, timeout=timeout, metadata=metadata)
        if method in STREAMS:
            for _ in answer:
                pass
        return grpc.StatusCode.OK
    except grpc.RpcError as error:
        return error.code()


def absurd(channel):
    """Sizes beyond the limits."""
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    huge = story(4)
    huge["generate"]["prompt"] = "x" * (3 << 20)
    spec = json_format.ParseDict(huge, job_pb2.JobSpec())
    data = controller_pb2.SubmitRequest(spec=spec).SerializeToString()
    assert send(channel, "Submit", data) == exhausted, "a message of 3 MiB"
    code = send(channel, "GetVersion", b"", metadata=(("x", "y" * 100_000),))
    assert code in (exhausted, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL), code
    nested = b""
    for _ in range(200):
        nested = b"\x12" + bytes([len(nested) & 0x7f | 0x80, len(nested) >> 7]) + nested
    assert send(channel, "Submit", nested) != grpc.StatusCode.OK
    for prompt in ("\0", "\u202e", "a\0b", "'; rm -rf / #", "--model=x", "-" * 50, "$(id)`id`"):
        job = story(1)
        job["generate"]["prompt"] = prompt
        spec = json_format.ParseDict(job, job_pb2.JobSpec())
        code = send(channel, "Submit", controller_pb2.SubmitRequest(spec=spec).SerializeToString())
        assert code in CODES | {grpc.StatusCode.OK}, (prompt, code)


def main():
    """All of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("source")
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("seed", options.seed)
    rng = random.Random(options.seed)
    with Controller("--hold", "--max-queued=5000") as controller:
        with controller.client() as client, grpc.insecure_channel(controller.address) as channel:
            client.submit(story(2))
            seeds, codes = good_messages(), {}
            before = 0
            for count in range(options.requests):
                if count == options.requests // 4:
                    before = resident(controller.process.pid)  # after warming up
                method = rng.choice(METHODS + STREAMS)
                code = send(channel, method, mutate(rng, seeds), 0.3 if method in STREAMS else 20)
                codes[code.name] = codes.get(code.name, 0) + 1
                assert code in CODES | {grpc.StatusCode.OK}, (method, code)
            absurd(channel)
            for _ in range(100):  # abandoned
                channel.unary_stream("/lockstep.v1.Controller/Watch")(
                    controller_pb2.WatchRequest(job_id="j1").SerializeToString()).cancel()
            grown = resident(controller.process.pid) - before
            assert controller.process.poll() is None
            assert grown < GROWTH_KIB, f"grew by {grown} KiB"
            # The first job may have been cancelled and deleted by a request that was made by chance.
            fresh = client.submit(story(2), "good-client")
            assert client.get(fresh.id).state == job_pb2.QUEUED
            print(f"{options.requests} requests: {dict(sorted(codes.items()))}; grew {grown} KiB")


if __name__ == "__main__":
    sys.exit(main())
