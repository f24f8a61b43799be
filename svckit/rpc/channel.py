"""Channels to other services.

    channel = open_channel("unix:/run/roadstead/authsvc.sock", service_tokens=tokens)
    stub = UserServiceStub(channel)
    try:
        answer = await stub.GetUser(request)
    except NotFound:
        ...

What a service means to say arrives as it was raised there: **every call of such a channel raises `DomainError`**, on
`await`, in `async for`, and on `write`; never `grpc.aio.AioRpcError`. Nothing has to be translated at the call site,
and nothing can be forgotten there. A call also takes along the caller's token, the request id and the trace of the
current `Call` (`svckit.access.call`), the token of the service that we are, and a deadline: the current call's, and 15
seconds at most. Streams, and RPCs that take long by their contract, have none unless one is given; whoever reads them
watches for idleness.

**What may be repeated is repeated**, up to four times within the deadline, while the server is UNAVAILABLE: a service
that restarts goes unnoticed. Which calls may be, the contracts say (`svckit.rpc.policy`).

Done by a channel of ours around gRPC's, and not by interceptors: grpc.aio runs each call with interceptors in a task of
its own, which costs a third of a millisecond's call again.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
import grpc.aio

from svckit.idempotency import IDEMPOTENCY_KEY
from svckit.rpc.address import parse_address
from svckit.rpc.calls import RequestSource, StreamStreamCall, StreamUnaryCall, UnaryStreamCall, UnaryUnaryCall
from svckit.rpc.forwarding import Forwarding
from svckit.rpc.policy import Repeat, call_policy
from svckit.rpc.server import LOOKAHEAD_BYTES, MAXIMUM_MESSAGE_BYTES, MAXIMUM_METADATA_BYTES
from svckit.rpc.tls import TlsSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from svckit.tokens.signer import ActingTokenSource, ServiceTokenSource

DEFAULT_TIMEOUT_SECONDS: Final = 15.0

_OPTIONS = (
    ("grpc.max_receive_message_length", MAXIMUM_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAXIMUM_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAXIMUM_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAXIMUM_METADATA_BYTES),
    # As on the server's side (svckit.rpc.server), for what it sends.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
    # A service that restarts is back within a second or two; gRPC's own waits grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    # Finds out about a server that vanished without a word. Servers allow one in 10 s (svckit.rpc.server).
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
# For every method of a channel (gRFC A6): gRPC repeats by method, and a create may be repeated only where it has a key,
# so there is a channel that repeats everything, and one that repeats nothing.
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
                        # CANCELLED is what gRPC says of a call that reached a server in the moment in which it stopped.
                        # (A call that we cancel ourselves is not repeated.)
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
    """Opens a channel; it connects with the first call. To be called in the event loop that uses it, after any fork.

    Args:
        target: "unix:/path" or "host:port".
        service_tokens: says which service passes on its callers' calls; None for a client that is no service.
        acting_tokens: says which service acts for itself, instead: no caller's token ever goes along. For whom it acts
            is said by `svckit.access.acting`.
        tls: how TCP is spoken; plain text to loopback only unless said otherwise.
        timeout_seconds: how long unary calls may take at most that do not take long by their contract.
        wait_for_ready: whether calls that have a deadline wait for a server that is not there yet until it passes,
            rather than fail at once: services start and restart in any order. Calls without one never do.

    Raises:
        ValueError: if both kinds of token are given.
        AddressError: if the target is neither form.
        TlsError: if it would be spoken to in plain text though it is not on this machine, or a file cannot be read.
    """
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
    """A channel as `open_channel` makes it: what a generated stub takes.

    It holds two of gRPC's, for what may be repeated and for what may not; each connects when it is first used. The
    state that it tells is that of the first.
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
        """Wraps two channels of gRPC's to one server; the other arguments are those of `open_channel`.

        Args:
            repeating: repeats every call that fails as one that may be repeated.
            once: repeats none.
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
        """One request, many answers. A `timeout` gives one that is known to be short a deadline."""
        sender = self._sender("unary_stream", call_policy(method).repeat, method, *args, **kwargs)
        return _UnaryStream(sender, self._forwarding, wait_for_ready=self._wait_for_ready)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> _StreamUnary:
        """Many requests, one answer."""
        return _StreamUnary(self._once.stream_unary(method, *args, **kwargs), self._forwarding)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> _StreamStream:
        """Many requests, many answers."""
        return _StreamStream(self._once.stream_stream(method, *args, **kwargs), self._forwarding)

    def _sender(self, kind: str, repeat: Repeat, method: str, *args: Any, **kwargs: Any) -> Any:
        """What sends the calls of a method, on the channel that fits each of them."""
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
        """Returns when the state is another one."""
        await self._repeating.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Returns when there is a connection."""
        await self._repeating.channel_ready()

    async def __aenter__(self) -> Self:
        """The channel; it is closed at the end of the block."""
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
