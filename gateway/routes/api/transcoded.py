"""Serves RPCs as REST routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import grpc.aio
from google.protobuf.message import Message

from gateway.routes.api.exchange import ApiExchange
from gateway.transcode.fields import ContractError
from gateway.transcode.route import RpcRoute
from gateway.transcode.violations import with_json_names
from gateway.wire.answer import Answer
from svckit.bounded_json import read_in_thread_if_large
from svckit.errors import DomainError, error_for

CallRpc = Callable[[Any], Awaitable[Message]]
"""Calls an RPC, or a function that composes its response."""


class TranscodedRoute:
    """Answers one binding of one RPC.

    Attributes:
        rpc: the compiled route.
        operation_id: Harbor's operation id; empty if Harbor has no such operation, and for additional bindings.
        ignores_credentials: always False; the services check the credentials.
    """

    ignores_credentials = False

    def __init__(self, rpc: RpcRoute, call: CallRpc, maximum_body_bytes: int) -> None:
        """Takes the compiled route, the function that it calls, and the size of the largest body."""
        self.rpc = rpc
        self.operation_id = rpc.binding.extras.operation_id if rpc.binding.is_primary else ""
        self._call = call
        self._maximum_body_bytes = maximum_body_bytes

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.rpc.binding.method

    @property
    def path(self) -> str:
        """The path template, as documentation shows it."""
        return self.rpc.path

    async def answer(self, exchange: ApiExchange) -> Answer:
        """Calls the RPC.

        Raises:
            DomainError: the request cannot be read, or the service raised an error.
        """
        request = exchange.request
        query: bytes = request.query_string
        body = await self._read_body(exchange) if self.rpc.binder.reads_body else b""
        message = await read_in_thread_if_large(
            len(body), self.rpc.request, exchange.variables, query, exchange.header, body
        )
        try:
            response = await self._call(message)
        except DomainError as error:
            raise with_json_names(self.rpc.binding.rpc.input_type, error) from error
        return self.rpc.answer(request.raw_target, query, exchange.header, message, response)

    async def _read_body(self, exchange: ApiExchange) -> bytes:
        exchange.request.visit.require_token()
        body = await exchange.request.body.read(self._maximum_body_bytes, "REQUEST_TOO_LARGE")
        if body:
            _require_json(exchange.header("Content-Type"))
        return body


def _require_json(content_type: str | None) -> None:
    """Refuses a body with another media type than JSON.

    A page of another site can make a browser send a form or plain text, with the credentials of the browser's user, and
    the text may look like JSON. A browser sends the media type of JSON only if this site allows the other one.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if content_type is not None and media_type != "application/json" and not media_type.endswith("+json"):
        raise error_for("UNSUPPORTED_MEDIA_TYPE", "the body must be application/json")


def caller_of(rpc: RpcRoute, channels: Mapping[str, grpc.aio.Channel]) -> CallRpc:
    """Calls the RPC itself.

    Args:
        rpc: the route.
        channels: the channels, by the packages of the contracts.

    Raises:
        ContractError: there is no channel to the service of the RPC.
    """
    binding = rpc.binding
    channel = channels.get(binding.package)
    if channel is None:
        raise ContractError(f"{binding.rpc.full_name}: no channel to {binding.package}")
    return cast(
        "CallRpc",
        channel.unary_unary(
            binding.rpc_path,
            request_serializer=_serialize,
            response_deserializer=rpc.response_type.FromString,
        ),
    )


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
