#!/usr/bin/python3
"""A client that has none of our files: it learns services and messages from the server's reflection,
as grpcurl does. documents_test.py has it speak the session of docs/controller.md, too.

    stranger_test.py BIN_DIR SOURCE_DIR

All it knows is the published grpc.reflection.v1alpha and grpc.health.v1, written out below.
"""

import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from harness import Controller


def protocol(package, messages):
    """A file of messages {name: [(field, number, type or message, repeated)]}."""
    file = descriptor_pb2.FileDescriptorProto(name=package + ".proto", package=package,
                                              syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            own = kind in messages
            message.field.add(name=field, number=number, label=3 if repeated else 1,
                              type=11 if own else kind,
                              type_name=f".{package}.{kind}" if own else None)
    return file


STRING, BYTES, INT32 = 9, 12, 5
REFLECTION = protocol("grpc.reflection.v1alpha", {
    "ServerReflectionRequest": [("file_containing_symbol", 4, STRING, False),
                                ("list_services", 7, STRING, False)],
    "FileDescriptorResponse": [("file_descriptor_proto", 1, BYTES, True)],
    "ServiceResponse": [("name", 1, STRING, False)],
    "ListServiceResponse": [("service", 1, "ServiceResponse", True)],
    "ServerReflectionResponse": [("file_descriptor_response", 4, "FileDescriptorResponse", False),
                                 ("list_services_response", 6, "ListServiceResponse", False)]})
HEALTH = protocol("grpc.health.v1", {"HealthCheckRequest": [("service", 1, STRING, False)],
                                     "HealthCheckResponse": [("status", 1, INT32, False)]})


class Stranger:
    """Calls methods by name with JSON, knowing nothing beforehand."""

    def __init__(self, channel):
        self.channel, self.pool = channel, descriptor_pool.DescriptorPool()
        self.pool.Add(REFLECTION)
        self.pool.Add(HEALTH)
        self.known = set()  # files
        self.factory = message_factory.MessageFactory(self.pool)

    def message(self, name):
        """The class of a message."""
        return self.factory.GetPrototype(self.pool.FindMessageTypeByName(name))

    def reflect(self, **request):
        """One question to the reflection service."""
        answer = self.message("grpc.reflection.v1alpha.ServerReflectionResponse")
        ask = self.message("grpc.reflection.v1alpha.ServerReflectionRequest")
        call = self.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=ask.SerializeToString, response_deserializer=answer.FromString)
        return next(call(iter([ask(**request)])))

    def services(self):
        """Names of all services."""
        return {s.name for s in self.reflect(list_services="*").list_services_response.service}

    def learn(self, symbol):
        """Takes over the file of a symbol and all that it imports."""
        files = {}
        for data in self.reflect(
                file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            files[file.name] = file

        def add(name):
            file = files.pop(name, None)
            if file is None or name in self.known:
                return
            self.known.add(name)
            for other in file.dependency:
                add(other)
            self.pool.Add(file)
        for name in list(files):
            add(name)

    def call(self, method, request):
        """Answers as dicts, in a list."""
        service, _, name = method.rpartition("/")
        info = self.pool.FindServiceByName(service).FindMethodByName(name)
        ask = self.factory.GetPrototype(info.input_type)
        answer = self.factory.GetPrototype(info.output_type)
        streams = descriptor_pb2.MethodDescriptorProto()
        info.CopyToProto(streams)
        make = self.channel.unary_stream if streams.server_streaming else self.channel.unary_unary
        call = make(f"/{method}", request_serializer=ask.SerializeToString,
                    response_deserializer=answer.FromString)
        out = call(json_format.ParseDict(request, ask()), timeout=60)
        answers = list(out) if streams.server_streaming else [out]
        return [json_format.MessageToDict(a, preserving_proto_field_name=True) for a in answers]


def main():
    """The session."""
    with Controller() as controller, grpc.insecure_channel(controller.address) as channel:
        stranger = Stranger(channel)
        services = stranger.services()
        assert {"lockstep.v1.Controller", "grpc.health.v1.Health"} <= services, services
        health = stranger.message("grpc.health.v1.HealthCheckRequest")
        check = channel.unary_unary("/grpc.health.v1.Health/Check",
                                    request_serializer=health.SerializeToString,
                                    response_deserializer=stranger.message(
                                        "grpc.health.v1.HealthCheckResponse").FromString)
        assert check(health()).status == 1, "not SERVING"
        stranger.learn("lockstep.v1.Controller")
        service = "lockstep.v1.Controller/"
        version = stranger.call(service + "GetVersion", {})[0]
        assert "generate" in version["job_kinds"], version
        names = [t["name"] for t in stranger.call(service + "ListTopologies", {})[0]["topologies"]]
        assert "groqnode" in names, names
        job = stranger.call(service + "Submit", {
            "request_id": "stranger-1",
            "spec": {"generate": {"model": "story", "machine": {"topology": "groqcard"},
                                  "placement": {"threads": 1}, "prompt": "Nora was",
                                  "tokens": 12}}})[0]
        events = stranger.call(service + "Watch", {"job_id": job["id"]})
        text = "".join(e.get("text", "") for e in events)
        assert text.startswith("Nora was"), text
        assert events[-1]["state"]["state"] == "SUCCEEDED", events[-1]
        chunks = stranger.call(service + "GetArtifact", {"job_id": job["id"],
                                                         "name": "report.json"})
        assert chunks and chunks[0]["data"]
        listed = stranger.call(service + "List", {"page_size": 5})[0]["jobs"]
        assert [j["id"] for j in listed] == [job["id"]], listed
        print(f"a stranger's session: {len(services)} services, {len(events)} events, {text!r}")


if __name__ == "__main__":
    sys.exit(main())
