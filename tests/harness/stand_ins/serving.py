"""Builds and serves stand-ins."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from svckit.metrics import Metrics
from svckit.rpc import RpcServer, RpcServerSettings
from svckit.services import RPC_SERVICES
from tests.harness.keyring import Keyring
from tests.harness.stand_ins.access import Allowing

_MAKE: Mapping[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class StandIn:
    """Serves those RPCs of its service's contracts that it has methods for, by their names."""

    def answering(self, method: MethodDescriptor) -> Callable[..., Any] | None:
        """What answers an RPC; None where nothing does."""
        found: Callable[..., Any] | None = getattr(self, method.name, None)
        return found

    def register(self, server: RpcServer, contracts: str) -> None:
        """Has a server serve it.

        Args:
            server: not started yet.
            contracts: the package of its contracts, such as "roadstead.auth.v1".
        """
        by_service: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for method in methods_of(contracts):
            answer = self.answering(method)
            if answer is not None:
                by_service.setdefault(method.containing_service.full_name, {})[method.name] = _MAKE[
                    method.client_streaming, method.server_streaming
                ](
                    answer,
                    request_deserializer=GetMessageClass(method.input_type).FromString,
                    response_serializer=GetMessageClass(method.output_type).SerializeToString,
                )

        def add(_: object, registrar: Any) -> None:
            for service, handlers in by_service.items():
                registrar.add_registered_method_handlers(service, handlers)

        server.add(add, self)


async def serve(
    stack: AsyncExitStack, folder: Path, stand_ins: Mapping[str, StandIn], keyring: Keyring
) -> dict[str, RpcServer]:
    """Serves stand-ins of services until the stack is left, each on its socket.

    Args:
        stack: ends it.
        folder: of the sockets.
        stand_ins: by service.
        keyring: whose tokens they trust.
    """
    servers = {}
    for service, stand_in in stand_ins.items():
        server = RpcServer(
            service,
            RpcServerSettings(listen=(address_in(folder, service),)),
            verifier=keyring.verifier(),
            metrics=Metrics(service),
            checker=Allowing(),
        )
        stand_in.register(server, RPC_SERVICES[service].contracts)
        await server.start()
        server.set_serving()
        stack.push_async_callback(server.drain, 0)
        servers[service] = server
    return servers


def address_in(folder: Path, service: str) -> str:
    """Where a service listens whose socket lies in a folder."""
    return f"unix:{folder}/{RPC_SERVICES[service].socket}"


@functools.cache
def methods_of(contracts: str) -> Sequence[MethodDescriptor]:
    """All RPCs of a package."""
    package = importlib.import_module(contracts)
    return [
        method
        for module in pkgutil.iter_modules(package.__path__)
        if module.name.endswith("_service_pb2")
        for service in importlib.import_module(f"{contracts}.{module.name}").DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
