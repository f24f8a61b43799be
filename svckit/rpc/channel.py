"""Channels to other services.

    channel = open_channel("unix:/run/roadstead/authsvc.sock", service_tokens=tokens)
    stub = UserServiceStub(channel)
    try:
        answer = await stub.GetUser(request)
    except NotFound:
        ...

**Every call of such a channel raises the `DomainError` that the other service raised**: on `await`, in `async for`, and
on `write`. It never raises `grpc.aio.AioRpcError`. So the code that calls needs no translation of errors.

A call sends the caller's token, the request id and the trace of the current `Call` (`svckit.access.call`), and the
token of this service. Its deadline is that of the current call, but at most 15 seconds. Streams, and RPCs that take
long by their contract, have no deadline unless one is given; their readers must detect idle streams themselves.

**Calls that may be repeated are repeated** while the server is UNAVAILABLE, up to four times within the deadline. So
the restart of a service is not noticed. The contracts say which calls may be repeated (`svckit.rpc.policy`).

This is a channel around gRPC's channel, and not a set of interceptors: grpc.aio runs each call with interceptors in an
extra task, which adds a third to the time of a call of one millisecond.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
import grpc.aio

from svckit.idempotency import IDEMPOTENCY_KEY
from svckit.rpc.address import parse_address
from svckit.rpc.batches import free_abandoned_batches
from svckit.rpc.calls import RequestSource, StreamStreamCall, StreamUnaryCall, UnaryStreamCall, UnaryUnaryCall
from svckit.rpc.forwarding import Forwarding
from svckit.rpc.late_requests import MAXIMUM_MESSAGE_BYTES
from svckit.rpc.policy import Repeat, call_policy
from svckit.rpc.server import MAXIMUM_METADATA_BYTES
from svckit.rpc.tls import TlsSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from svckit.tokens.signer import ActingTokenSource, ServiceTokenSource

DEFAULT_TIMEOUT_SECONDS: Final = 15.0

_LOOKAHEAD_BYTES = 256 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", MAXIMUM_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAXIMUM_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAXIMUM_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAXIMUM_METADATA_BYTES),
    # As on the server's side (svckit.rpc.server), for the data that it sends. A download whose client does not read
    # costs so much here.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", _LOOKAHEAD_BYTES),
    # A service restarts within a second or two. With gRPC's defaults, the waits would grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    # In spite of its name, this is how long one attempt to connect may take. A busy server accepts late. With a short
    # time, each attempt to reach it fails, and calls that do not wait for the server fail with them.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # Pings detect a server that disappeared without closing the connection. Servers allow one in 10 s
    # (svckit.rpc.server).
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
# The retry policy for every method of a channel (gRFC A6). gRPC decides by method, but a create may be repeated only if
# its request has a key. So there are two channels: one repeats everything, and one repeats nothing.
_REPEATING = (
    "grpc.service_config",
    json.dumps(
        {
            "methodConfig": [
                {
                    "name": [{}],
                    "retryPolicy": {
                        "maxAttempts": 4,
                        "initialBackoff": "0.05s",
                        "maxBackoff": "1s",
                        "backoffMultiplier": 2,
                        # A call that reaches a server at the moment in which it stops ends with CANCELLED. (A call that
                        # the client cancels is not repeated.)
                        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                    },
                }
            ]
        }
    ),
)


def open_channel(
    target: str,
    *,
    service_tokens: ServiceTokenSource | None = None,
    acting_tokens: ActingTokenSource | None = None,
    tls: TlsSettings | None = None,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    wait_for_ready: bool = True,
) -> RpcChannel:
    """Opens a channel; it connects with the first call. Call this in the event loop that uses it, and after any fork.

    Args:
        target: "unix:/path" or "host:port".
        service_tokens: the tokens of a service that passes on its callers' calls; None for a client that is not a
            service.
        acting_tokens: the tokens of a service that acts for itself. Then no caller's token is sent.
            `svckit.access.acting` says on whose behalf the service acts.
        tls: the TLS settings; by default, plain text is allowed to loopback only.
        timeout_seconds: the longest time of a unary call, except for RPCs that take long by their contract.
        wait_for_ready: whether calls with a deadline wait for a server that is not there yet, instead of failing at
            once. This lets services start and restart in any order. Calls without a deadline never wait.

    Raises:
        ValueError: both kinds of token are given.
        AddressError: the target has neither form.
        TlsError: plain text is not allowed for the target, or a file cannot be read.
    """
    free_abandoned_batches()
    forwarding = Forwarding(service_tokens, acting_tokens)
    address = parse_address(target)
    options: list[tuple[str, Any]] = list(_OPTIONS)
    settings = TlsSettings() if tls is None else tls
    credentials = settings.channel_credentials(address)
    if credentials is not None and settings.server_name is not None:
        options.append(("grpc.ssl_target_name_override", settings.server_name))

    def connection(*more: tuple[str, Any]) -> grpc.aio.Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(str(address), options=[*options, *more])
        return grpc.aio.secure_channel(str(address), credentials, options=[*options, *more])

    return RpcChannel(
        connection(_REPEATING),
        connection(),
        forwarding,
        timeout_seconds=timeout_seconds,
        wait_for_ready=wait_for_ready,
    )


class RpcChannel(grpc.aio.Channel):
    """The channel that `open_channel` makes. Generated stubs accept it.

    It has two channels of gRPC: one for calls that may be repeated, one for the others. Each connects at its first use.
    The state of this channel is the state of the first one.
    """

    def __init__(
        self,
        repeating: grpc.aio.Channel,
        once: grpc.aio.Channel,
        forwarding: Forwarding,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        wait_for_ready: bool = True,
    ) -> None:
        """Wraps two gRPC channels to one server; the other arguments are those of `open_channel`.

        Args:
            repeating: the channel that repeats failed calls.
            once: the channel that repeats nothing.
        """
        self._repeating = repeating
        self._once = once
        self._forwarding = forwarding
        self._timeout_seconds = timeout_seconds
        self._wait_for_ready = wait_for_ready

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> _UnaryUnary:
        """One request, one answer."""
        policy = call_policy(method)
        return _UnaryUnary(
            self._sender("unary_unary", policy.repeat, method, *args, **kwargs),
            self._forwarding,
            None if policy.takes_long else self._timeout_seconds,
            wait_for_ready=self._wait_for_ready,
        )

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> _UnaryStream:
        """One request, many answers. There is no deadline unless the caller gives a `timeout`."""
        sender = self._sender("unary_stream", call_policy(method).repeat, method, *args, **kwargs)
        return _UnaryStream(sender, self._forwarding, wait_for_ready=self._wait_for_ready)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> _StreamUnary:
        """Many requests, one answer."""
        return _StreamUnary(self._once.stream_unary(method, *args, **kwargs), self._forwarding)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> _StreamStream:
        """Many requests, many answers."""
        return _StreamStream(self._once.stream_stream(method, *args, **kwargs), self._forwarding)

    def _sender(self, kind: str, repeat: Repeat, method: str, *args: Any, **kwargs: Any) -> Any:
        """The function that sends the calls of a method, each on the channel that it needs."""
        if repeat is Repeat.ALWAYS:
            return getattr(self._repeating, kind)(method, *args, **kwargs)
        once = getattr(self._once, kind)(method, *args, **kwargs)
        if repeat is Repeat.NEVER:
            return once
        repeating = getattr(self._repeating, kind)(method, *args, **kwargs)

        def send(request: Any, **options: Any) -> Any:
            return (repeating if getattr(request, IDEMPOTENCY_KEY) else once)(request, **options)

        return send

    async def close(self, grace: float | None = None) -> None:
        """Closes the channel; calls in flight get `grace` seconds."""
        await asyncio.gather(self._repeating.close(grace), self._once.close(grace))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the connection."""
        return self._repeating.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when the state has changed."""
        await self._repeating.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Returns when there is a connection."""
        await self._repeating.channel_ready()

    async def __aenter__(self) -> Self:
        """Returns the channel; it is closed at the end of the block."""
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        """Closes the channel."""
        await self.close()


class _UnaryUnary(grpc.aio.UnaryUnaryMultiCallable[Any, Any]):
    def __init__(
        self, sender: Any, forwarding: Forwarding, longest_seconds: float | None, *, wait_for_ready: bool
    ) -> None:
        self._sender = sender
        self._forwarding = forwarding
        self._longest_seconds = longest_seconds
        self._wait_for_ready = wait_for_ready

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Iterable[tuple[str, str | bytes]] | None = None,
        wait_for_ready: bool | None = None,
        **others: Any,
    ) -> UnaryUnaryCall:
        longest = self._longest_seconds if timeout is None else timeout
        limit = None if longest is None else self._forwarding.timeout_seconds(longest)
        if wait_for_ready is None:
            wait_for_ready = self._wait_for_ready and limit is not None
        return UnaryUnaryCall(
            self._sender(
                request,
                timeout=limit,
                metadata=self._forwarding.metadata(metadata),
                wait_for_ready=wait_for_ready,
                **others,
            )
        )


class _UnaryStream(grpc.aio.UnaryStreamMultiCallable[Any, Any]):
    def __init__(self, sender: Any, forwarding: Forwarding, *, wait_for_ready: bool) -> None:
        self._sender = sender
        self._forwarding = forwarding
        self._wait_for_ready = wait_for_ready

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Iterable[tuple[str, str | bytes]] | None = None,
        wait_for_ready: bool | None = None,
        **others: Any,
    ) -> UnaryStreamCall:
        limit = None if timeout is None else self._forwarding.timeout_seconds(timeout)
        if wait_for_ready is None:
            wait_for_ready = self._wait_for_ready and limit is not None
        return UnaryStreamCall(
            self._sender(
                request,
                timeout=limit,
                metadata=self._forwarding.metadata(metadata),
                wait_for_ready=wait_for_ready,
                **others,
            )
        )


class _StreamUnary(grpc.aio.StreamUnaryMultiCallable[Any, Any]):
    def __init__(self, sender: Any, forwarding: Forwarding) -> None:
        self._sender = sender
        self._forwarding = forwarding

    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Iterable[tuple[str, str | bytes]] | None = None,
        *others: Any,
        **more: Any,
    ) -> StreamUnaryCall:
        source = None if request_iterator is None else RequestSource(request_iterator)
        carried = self._forwarding.metadata(metadata)
        return StreamUnaryCall(self._sender(source, timeout, carried, *others, **more), source)


class _StreamStream(grpc.aio.StreamStreamMultiCallable[Any, Any]):
    def __init__(self, sender: Any, forwarding: Forwarding) -> None:
        self._sender = sender
        self._forwarding = forwarding

    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Iterable[tuple[str, str | bytes]] | None = None,
        *others: Any,
        **more: Any,
    ) -> StreamStreamCall:
        source = None if request_iterator is None else RequestSource(request_iterator)
        carried = self._forwarding.metadata(metadata)
        return StreamStreamCall(self._sender(source, timeout, carried, *others, **more), source)
