"""RPCs as routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import grpc.aio
from google.protobuf.message import Message

from gateway.routes.api.exchange import ApiExchange
from gateway.transcode.fields import ContractError
from gateway.transcode.route import RpcRoute
from gateway.transcode.violations import in_json
from gateway.wire.answer import Answer
from svckit.errors import DomainError, error_for

CallRpc = Callable[[Any], Awaitable[Message]]
"""Calls an RPC, or what composes its answer."""


class TranscodedRoute:
    """Answers one binding of one RPC.

    Attributes:
        rpc: the compiled route.
        operation_id: Harbor's; empty where Harbor has no such operation, and for additional bindings.
        ignores_credentials: never; the services judge them.
    """

    ignores_credentials = False

    def __init__(self, rpc: RpcRoute, call: CallRpc, maximum_body_bytes: int) -> None:
        """Takes the compiled route, what it calls, and how large a body may be."""
        self.rpc = rpc
        self.operation_id = rpc.binding.extras.operation_id if rpc.binding.is_primary else ""
        self._call = call
        self._maximum_body_bytes = maximum_body_bytes

    @property
    def method(self) -> str:
        """Of HTTP."""
        return self.rpc.binding.method

    @property
    def path(self) -> str:
        """The template for people."""
        return self.rpc.path

    async def answer(self, exchange: ApiExchange) -> Answer:
        """Calls the RPC.

        Raises:
            DomainError: the request cannot be read, or what the service raises.
        """
        request = exchange.request
        query: bytes = request.query_string
        body = await self._read_body(exchange) if self.rpc.binder.reads_body else b""
        message = self.rpc.request(exchange.variables, query, exchange.header, body)
        try:
            response = await self._call(message)
        except DomainError as error:
            raise in_json(self.rpc.binding.rpc.input_type, error) from error
        return self.rpc.answer(request.raw_target, query, message, response)

    async def _read_body(self, exchange: ApiExchange) -> bytes:
        body = await exchange.request.body.read(self._maximum_body_bytes, "REQUEST_TOO_LARGE")
        if body:
            _require_json(exchange.header("Content-Type"))
        return body


def _require_json(content_type: str | None) -> None:
    """Refuses what says that it is something else.

    A page of another site can make a browser send a form, or plain text that looks like JSON, with the credentials that
    the browser holds; JSON it can send only where the site is allowed to.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if content_type is not None and media_type != "application/json" and not media_type.endswith("+json"):
        raise error_for("UNSUPPORTED_MEDIA_TYPE", "the body must be application/json")


def caller_of(rpc: RpcRoute, channels: Mapping[str, grpc.aio.Channel]) -> CallRpc:
    """Calls the RPC itself.

    Args:
        rpc: the route.
        channels: by the packages of the contracts.

    Raises:
        ContractError: the RPC belongs to a service that there is no channel to.
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
