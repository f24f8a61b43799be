"""Every RPC of every contract, and a way to call it with its descriptor only."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from roadstead.auth import v1 as auth
from roadstead.blob import v1 as blob
from roadstead.job import v1 as job
from roadstead.meta import v1 as meta
from svckit.rpc.policy import is_long_lived

_LIMIT_SECONDS = 20
OK = "OK"


@dataclass(frozen=True)
class Rpc:
    """One RPC.

    Attributes:
        method: its descriptor.
    """

    method: MethodDescriptor

    @property
    def name(self) -> str:
        """Such as "meta.v1.TagService/CreateTag"."""
        service: ServiceDescriptor = self.method.containing_service
        return f"{service.full_name.removeprefix('roadstead.')}/{self.method.name}"

    @property
    def path(self) -> str:
        """Its name in gRPC, such as "/roadstead.meta.v1.TagService/CreateTag"."""
        service: ServiceDescriptor = self.method.containing_service
        return f"/{service.full_name}/{self.method.name}"

    @property
    def server(self) -> str:
        """The service that serves it, such as "metasvc"."""
        return f"{self.name.split('.')[0]}svc"

    @cached_property
    def request_class(self) -> type[Message]:
        """Its request."""
        return GetMessageClass(self.method.input_type)

    def call(self, channel: grpc.Channel, request: Message, metadata: Mapping[str, str]) -> str:
        """Calls it, and returns "OK" or the reason of the error."""
        response_class = GetMessageClass(self.method.output_type)
        streams = (self.method.client_streaming, self.method.server_streaming)
        kinds: dict[tuple[bool, bool], Callable[..., Callable[..., Any]]] = {
            (False, False): channel.unary_unary,
            (True, False): channel.stream_unary,
            (False, True): channel.unary_stream,
            (True, True): channel.stream_stream,
        }
        stub = kinds[streams](self.path, self.request_class.SerializeToString, response_class.FromString)
        sent = iter([request]) if self.method.client_streaming else request
        try:
            answer = stub(sent, metadata=tuple(metadata.items()), timeout=_LIMIT_SECONDS)
            if is_long_lived(self.method):
                # It would not end by itself.
                next(answer, None)
                answer.cancel()
            elif self.method.server_streaming:
                list(answer)
        except grpc.RpcError as error:
            return reason_of(error)
        return OK


def every_rpc() -> Iterator[Rpc]:
    """All RPCs of auth.v1, meta.v1, blob.v1 and job.v1."""
    for package in (auth, meta, blob, job):
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.endswith("_service_pb2"):
                continue
            descriptor = importlib.import_module(f"{package.__name__}.{module.name}").DESCRIPTOR
            for service in descriptor.services_by_name.values():
                yield from (Rpc(method) for method in service.methods)


def reason_of(error: Any) -> str:
    """The reason of an error, or its gRPC code if it has none."""
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return f"without a reason: {error.code().name}"
