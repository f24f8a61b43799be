"""What happens to every call around its handler, in one pass.

    count it in → say who calls → read the request → hold it against the rule → and against its bounds
                → handler → was it checked? → answer
                        and whatever goes wrong → one place that turns it into a status
                        and at the end, whatever happened → count it out, metrics, log

One pass rather than five nested interceptors: gRPC runs interceptors anew for each call, and this is on the path of
every manifest and blob. All that depends on the method only is worked out when the method is registered.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError

from svckit.access.call import Call
from svckit.errors import DomainError, Invalid, error_for
from svckit.errors.status import abort
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from svckit.access.gate import Gate
    from svckit.bounds import RequestCheck
    from svckit.metrics import Metrics
    from svckit.rpc.arrival import Arrivals
    from svckit.rpc.inflight import InFlight
    from svckit.rpc.streams import LongStreams

    Context = grpc.aio.ServicerContext[Any, Any]
    # Runs the servicer's method on a request and answers the caller.
    Behavior = Callable[[Call, Any, Context], Awaitable[bytes | None]]

T = TypeVar("T")

_log = get_logger(__name__)
# How long the end of a call may take to get out. It has to wait behind an answer that the client does not read.
_ABORT_SECONDS = 5.0
_LEVELS = {"off": None, "debug": logging.DEBUG, "info": logging.INFO}


class ServerContext:
    """What all methods of one server share.

    Attributes:
        service: whose server it is; in the domain of every error.
        arrivals: makes calls.
        in_flight: counts them.
        long_streams: counts those of them that stay open.
        metrics: counts them for Prometheus.
        access_log: the level at which each is logged; None for not at all.
        stream_idle_seconds: how long a client may leave a streamed answer unread.
        is_full: whether methods that add data are refused at the moment.
    """

    __slots__ = (
        "access_log",
        "arrivals",
        "in_flight",
        "is_full",
        "long_streams",
        "metrics",
        "service",
        "stream_idle_seconds",
    )

    def __init__(
        self,
        service: str,
        arrivals: Arrivals,
        in_flight: InFlight,
        long_streams: LongStreams,
        metrics: Metrics,
        access_log: Literal["off", "debug", "info"],
        stream_idle_seconds: float,
    ) -> None:
        """Puts them together."""
        self.service = service
        self.arrivals = arrivals
        self.in_flight = in_flight
        self.long_streams = long_streams
        self.metrics = metrics
        self.access_log = _LEVELS[access_log]
        self.stream_idle_seconds = stream_idle_seconds
        self.is_full = False


class HandledMethod:
    """One method with its gate, ready to be registered."""

    __slots__ = (
        "_adds_data",
        "_behavior",
        "_check",
        "_gate",
        "_is_long_lived",
        "_name",
        "_original",
        "_parse",
        "_server",
    )

    def __init__(
        self,
        name: str,
        gate: Gate,
        check: RequestCheck | None,
        original: grpc.RpcMethodHandler[Any, Any],
        server: ServerContext,
        *,
        is_long_lived: bool = False,
        adds_data: bool = False,
    ) -> None:
        """Wraps the handler that the generated code made for a servicer's method.

        Args:
            name: "/roadstead.meta.v1.TagService/GetTag".
            gate: of its rule.
            check: of the bounds of its request; None where it has none.
            original: as generated.
            server: what the methods of its server share.
            is_long_lived: whether its calls stay open while nothing happens.
            adds_data: whether it is refused while the disk is full.

        Raises:
            TypeError: if the servicer's method is not asynchronous; where answers are streamed, not an asynchronous
                generator. (One that writes to the context could answer before it has checked.) Or if it is long-lived
                and streams no answers.
        """
        self._name = name
        self._gate = gate
        self._original = original
        self._server = server
        self._check = check
        self._adds_data = adds_data
        self._parse = _parser(original)
        self._is_long_lived = is_long_lived
        if is_long_lived and not original.response_streaming:
            raise TypeError(f"{name}: a long-lived RPC streams its answers")
        self._behavior = self._streamed_answer() if original.response_streaming else self._single_answer()

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler to register instead of the original.

        It takes and gives bytes where it can, so that a request that cannot be read and an answer that cannot be
        written are errors like others: gRPC would send their texts to the caller.
        """
        streams_requests = self._original.request_streaming
        make = _MAKE_HANDLER[streams_requests, self._original.response_streaming]

        read = self._parse_and_check if streams_requests else None
        return make(self._handle, request_deserializer=read, response_serializer=None)

    async def _handle(self, incoming: Any, context: Context) -> bytes | None:
        server, gate = self._server, self._gate
        began = time.perf_counter()
        call, presented = server.arrivals.receive(self._name, gate, context)
        code = "OK"
        counted = False
        try:
            server.in_flight.enter()
            counted = True
            server.arrivals.authenticate(call, gate, presented)
            if self._original.request_streaming:
                request = incoming
                await gate.admit(call, None)
            else:
                request = self._parse(incoming)
                # Access comes first: who is not let in hears that, whatever was sent.
                await gate.admit(call, request)
                if self._adds_data and server.is_full:
                    raise error_for("STORAGE_FULL")
                if self._check is not None:
                    self._check(request, len(incoming))
            if not self._is_long_lived:
                return await self._behavior(call, request, context)
            with server.long_streams.place(call.principal.subject) as stream:
                # It was let in as any other call. While it stays open, its place is for others.
                server.in_flight.leave()
                counted = False
                async with stream.running():
                    return await self._behavior(call, request, context)
        except asyncio.CancelledError as error:
            if _is_cancelling():
                code = "DEADLINE_EXCEEDED" if _has_passed(call.deadline) else "CANCELLED"
                raise
            # Something that the handler waited for was cancelled, and not the call: gRPC would leave it hanging.
            code = "INTERNAL"
            await self._fail(call, context, error_for("INTERNAL"), error)
        except grpc.aio.BaseError:
            # The handler has aborted by itself, or the client is gone. gRPC deals with both.
            code = _code_of(context)
            raise
        except Exception as error:
            told = error if isinstance(error, DomainError) else error_for("INTERNAL")
            code = told.entry.grpc_code
            await self._fail(call, context, told, error)
        finally:
            if counted:
                server.in_flight.leave()
            self._account(call, code, time.perf_counter() - began)

    def _parse_and_check(self, data: bytes) -> Message:
        """One message of a stream. What it raises comes out of the handler's loop over the requests."""
        message = self._parse(data)
        if self._adds_data and self._server.is_full:
            # Also in the middle of a stream: one long upload could take all that is reserved.
            raise error_for("STORAGE_FULL")
        if self._check is not None:
            self._check(message, len(data))
        return message

    def _single_answer(self) -> Behavior:
        original = self._original
        behavior: Any = original.stream_unary if original.request_streaming else original.unary_unary
        serialize = _required(original.response_serializer)
        if not inspect.iscoroutinefunction(behavior):
            raise TypeError(f"{self._name}: its servicer's method must be async")

        async def answer(call: Call, request: Any, context: Context) -> bytes | None:
            response = await behavior(request, context)
            self._conclude(call)
            return serialize(response)

        return answer

    def _streamed_answer(self) -> Behavior:
        original = self._original
        behavior: Any = original.stream_stream if original.request_streaming else original.unary_stream
        serialize = _required(original.response_serializer)
        idle_seconds = self._server.stream_idle_seconds
        if not inspect.isasyncgenfunction(behavior):
            raise TypeError(f"{self._name}: its servicer's method must be an async generator")

        async def answer(call: Call, request: Any, context: Context) -> bytes | None:
            # Closed whatever happens: the handler's own `finally` must not wait for the garbage collector.
            async with aclosing(behavior(request, context)) as messages:
                async for message in messages:
                    # Before the first message goes out, and before each further one: it costs nothing.
                    self._conclude(call)
                    try:
                        async with asyncio.timeout(idle_seconds):
                            await context.write(serialize(message))
                    except TimeoutError:
                        raise error_for("REQUEST_TIMEOUT", "the answer was not read") from None
            self._conclude(call)
            return None

        return answer

    def _conclude(self, call: Call) -> None:
        """Lets nothing out of a call whose rule left a check to the domain, and whose domain made none."""
        if self._gate.ends_checked and not call.checked:
            raise error_for(
                "INTERNAL", f"{self._name} answered without the check that its rule ({self._gate.rule}) demands"
            )

    async def _fail(self, call: Call, context: Context, told: DomainError, cause: BaseException) -> NoReturn:
        """Ends the call with `told`; what stands behind it where that is ours goes to the log, and nowhere else."""
        if told.reason == "INTERNAL":
            _log.error("rpc_failed", method=self._name, subject=call.principal.subject, exc_info=cause)
        elif told.reason == "UNAVAILABLE":
            # Mostly another service that this one needs: gRPC's own words name it.
            _log.warning("rpc_unavailable", method=self._name, error=str(cause), cause=str(cause.__cause__ or ""))
        try:
            async with asyncio.timeout(_ABORT_SECONDS):
                await abort(context, told, self._server.service)
        except TimeoutError:
            # A client that reads nothing does not read this either. Dropping the call resets its stream.
            raise asyncio.CancelledError from None

    def _account(self, call: Call, code: str, seconds: float) -> None:
        self._server.metrics.observe_rpc(self._name, code, seconds)
        level = self._server.access_log
        if level is not None and _log.isEnabledFor(level):
            _log.log(
                level,
                "rpc",
                method=self._name,
                code=code,
                milliseconds=round(seconds * 1000, 2),
                subject=call.principal.subject,
                caller_service=call.caller_service,
            )


_MAKE_HANDLER: dict[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _parser(original: grpc.RpcMethodHandler[Any, Any]) -> Callable[[bytes], Message]:
    deserialize = _required(original.request_deserializer)

    def parse(data: bytes) -> Message:
        try:
            request: Message = deserialize(data)
        except DecodeError as error:
            raise Invalid(message="the request is not of the contract's type") from error
        return request

    return parse


def _required(function: Callable[[Any], T] | None) -> Callable[[Any], T]:
    """The generated code always gives one; gRPC's types allow for others."""
    if function is None:
        raise TypeError("a method without a message type")
    return function


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _has_passed(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def _code_of(context: Context) -> str:
    # None while nobody has set it, whatever its type says.
    code: grpc.StatusCode | None = context.code()
    return "CANCELLED" if code is None else code.name
