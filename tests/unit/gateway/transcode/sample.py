"""A contract of the tests' own, with one field of everything that JSON knows; built without protoc."""

from pathlib import Path
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    struct_pb2,
    text_format,
    timestamp_pb2,
)
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from roadstead.access.v1 import project_ref_pb2, rest_pb2
from roadstead.options.v1 import bounds_pb2

_OMITTED = ("draught", "note", "flags", "labels")

# Their own pool knows these by being given them.
_KNOWN = (
    any_pb2,
    timestamp_pb2,
    duration_pb2,
    struct_pb2,
    empty_pb2,
    descriptor_pb2,
    bounds_pb2,
    project_ref_pb2,
)


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for module in _KNOWN:
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    file = text_format.Parse(Path(__file__).with_suffix(".txtpb").read_text(), descriptor_pb2.FileDescriptorProto())
    for field in file.message_type[0].field:
        if field.name in _OMITTED:
            field.options.Extensions[rest_pb2.json].omit_zero = True
    pool.Add(file)
    return pool


_POOL = _pool()
_services = 0


def described(name: str, /) -> Descriptor:
    return _POOL.FindMessageTypeByName(f"sample.v1.{name}")


def made(name: str, /, **fields: Any) -> Any:
    return GetMessageClass(described(name))(**fields)


def rpc(
    rule: http_pb2.HttpRule | None = None,
    extras: rest_pb2.RestRule | None = None,
    request: str = "ShipRequest",
    response: str = "ShipResponse",
    *,
    streams: bool = False,
) -> MethodDescriptor:
    """An RPC `ServeShips` with this rule, in a service of its own."""
    global _services  # noqa: PLW0603 - each needs a name that the pool does not know
    _services += 1
    file = descriptor_pb2.FileDescriptorProto(
        name=f"service{_services}.proto", package=f"sample.s{_services}", syntax="proto3", dependency=["sample.proto"]
    )
    method = file.service.add(name="ShipService").method.add(
        name="ServeShips",
        input_type=f".sample.v1.{request}",
        output_type=f".sample.v1.{response}",
        server_streaming=streams,
    )
    if rule is not None:
        method.options.Extensions[annotations_pb2.http].CopyFrom(rule)
    if extras is not None:
        method.options.Extensions[rest_pb2.rest].CopyFrom(extras)
    _POOL.Add(file)
    return _POOL.FindServiceByName(f"{file.package}.ShipService").methods_by_name["ServeShips"]


def text_of(message: Message) -> str:
    """A message in one line, for comparisons."""
    return text_format.MessageToString(message, as_one_line=True)
