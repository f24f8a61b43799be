"""Handles every call, from its arrival to its answer.

The steps are:

1. refuse the call if all places are taken
2. authenticate the caller, and take a place of its share
3. read and parse the request
4. check the access rule, the condition of the server (read-only, disk full), then the bounds of the request
5. run the servicer's method
6. make sure that the checks that the rule leaves to the domain were done
7. send the answer

Every error goes to one place that turns it into a status. At the end, the call is counted out, measured and logged.

This is one function instead of five nested interceptors, because gRPC builds interceptors again for each call, and
every manifest and blob passes here. Everything that depends only on the method is prepared when the method is
registered.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError

from svckit.access.call import Call
from svckit.errors import DomainError, Invalid, error_for
from svckit.errors.status import abort
from svckit.logging import get_logger
from svckit.pace import Patience
from svckit.places import SERVICE_SUBJECTS
from svckit.rpc.account import Account
from svckit.rpc.batch_stream import BatchStream
from svckit.rpc.members import account_members
from svckit.rpc.stream_pace import PacedRequests

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from svckit.access.gate import Gate
    from svckit.bounds import RequestCheck
    from svckit.pace import Pace
    from svckit.places import Places
    from svckit.rpc.members import Members
    from svckit.rpc.server_context import ServerContext

    Context = grpc.aio.ServicerContext[Any, Any]
    # Runs the servicer's method with a request, and answers the caller.
    Behavior = Callable[[Call, Any, Context], Awaitable[bytes | None]]

T = TypeVar("T")

_log = get_logger(__name__)
# How long sending the final status of a call may take. It waits behind an answer that the client does not read.
_ABORT_SECONDS = 5.0


class HandledMethod:
    """One method with its gate, ready to be registered."""

    __slots__ = (
        "_account",
        "_adds_data",
        "_behavior",
        "_changes",
        "_check",
        "_gate",
        "_is_long_lived",
        "_members",
        "_name",
        "_original",
        "_parse",
        "_server",
        "_stream_places",
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
        changes: bool = False,
        members: Members | None = None,
    ) -> None:
        """Wraps the handler that the generated code made for a servicer's method.

        Args:
            name: "/roadstead.meta.v1.TagService/GetTag".
            gate: checks its access rule.
            check: checks the bounds of its request; None if there are none.
            original: the generated handler.
            server: the objects that the methods of its server share.
            is_long_lived: whether its calls stay open while nothing happens.
            adds_data: whether it is refused while the disk is full.
            changes: whether it is refused in read-only mode.
            members: judges the members of its batches; None if its calls are no batches.

        Raises:
            TypeError: the servicer's method is not asynchronous; or it streams answers and is not an asynchronous
                generator (a method that writes to the context could answer before it has checked); or it is long-lived
                and does not stream answers.
        """
        self._name = name
        self._gate = gate
        self._original = original
        self._server = server
        self._account = Account(name, server)
        self._check = check
        self._adds_data = adds_data
        self._changes = changes
        self._members = members
        self._parse = _parser(original)
        self._is_long_lived = is_long_lived
        if is_long_lived and not original.response_streaming:
            raise TypeError(f"{name}: a long-lived RPC must stream its answers")
        # The places that its calls take once they are admitted; None if they keep those of short calls.
        self._stream_places: Places | None = None
        if is_long_lived:
            self._stream_places = server.places.long_streams
        elif original.request_streaming or original.response_streaming:
            self._stream_places = server.places.streams
        self._behavior = self._streamed_answer() if original.response_streaming else self._single_answer()

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler to register instead of the original.

        It reads and returns bytes where possible. So a request that cannot be parsed, and an answer that cannot be
        serialized, are handled like other errors. gRPC itself would send their internal texts to the caller.
        """
        # To gRPC, all methods stream their requests: `svckit.rpc.late_requests` says why.
        make = _MAKE_HANDLER[self._original.response_streaming]
        read = self._parse_and_check if self._original.request_streaming else None
        return make(self._handle, request_deserializer=read, response_serializer=None)

    async def _handle(self, incoming: Any, context: Context) -> bytes | None:
        server, gate = self._server, self._gate
        began = time.perf_counter()
        call, presented = server.arrivals.receive(self._name, gate, context)
        code = "OK"
        # Where the call has a place. A place object for each call would cost more.
        held: Places | None = None
        subject: str | None = None
        request: Any = None
        try:
            calls = server.places.calls
            # No signature is verified for a call that is refused in any case.
            calls.check_free()
            try:
                server.arrivals.authenticate(call, gate, presented)
            finally:
                # A caller whose token is invalid needs a place as well: it may leave the refusal unread.
                subject = self._subject(call)
                calls.take(subject, call.client_address)
                held = calls
            if self._original.request_streaming:
                await gate.admit(call, None)
                self._check_condition()
                request = self._arriving(call, subject, incoming)
            else:
                data = await self._receive(call, subject, context)
                size_bytes = len(data)
                server.messages.hold(subject, size_bytes)
                request = self._parse(data)
                # Frees the message's copy, while the servicer works on it.
                del data
                # Access is checked first: a caller without access learns nothing about the request.
                await gate.admit(call, request)
                self._check_condition()
                if self._check is not None:
                    self._check(request, size_bytes)
                if self._members is not None:
                    await self._members.admit(call, request)
            if self._stream_places is not None:
                self._stream_places.take(subject, call.client_address)
                calls.give_back(subject, call.client_address)
                held = self._stream_places
            if not self._is_long_lived:
                return await self._behavior(call, request, context)
            with server.long_streams.opened() as stream:
                async with stream.running():
                    return await self._behavior(call, request, context)
        except asyncio.CancelledError as error:
            if _is_cancelling():
                code = "DEADLINE_EXCEEDED" if _has_passed(call.deadline) else "CANCELLED"
                raise
            # The call itself was not cancelled, but something that the handler waited for. Without an error, gRPC would
            # leave the call open.
            code = "INTERNAL"
            await self._fail(call, context, error_for("INTERNAL"), error)
        except grpc.aio.BaseError:
            # The handler has called abort, or the client has disconnected. gRPC handles both.
            code = _code_of(context)
            raise
        except Exception as error:
            # No local variable refers to the error: its traceback refers to this frame, so that would be a cycle.
            code = _public(error).entry.grpc_code
            await self._fail(call, context, _public(error), error)
        finally:
            if held is not None:
                held.give_back(subject, call.client_address)
            self._account_for(call, request, code, time.perf_counter() - began)
            # If the call was aborted, gRPC's error refers to this frame, and gRPC's call to that error (see `_fail`).
            incoming = request = None

    async def _receive(self, call: Call, subject: str | None, context: Context) -> bytes:
        """The bytes of the only request."""
        arrival = context.read()
        # A service has read the whole of what it sends.
        data: Any = await (arrival if call.caller_service else self._server.late.wait_for(subject, arrival))
        if data is grpc.aio.EOF:
            raise Invalid(message="the call has no request")
        return bytes(data)

    def _arriving(self, call: Call, subject: str | None, incoming: Any) -> PacedRequests | BatchStream:
        """The requests of a stream."""
        first = None if call.caller_service else partial(self._server.late.wait_for, subject)
        # A service that passes on a long upload has been told no sooner that its caller has lost the right.
        again = partial(self._server.arrivals.check_again, call)
        requests = PacedRequests(incoming, self._pace(call), first, again)
        if self._members is None:
            return requests
        return BatchStream(call, subject, requests, self._members, self._server.places.calls, self._account)

    def _subject(self, call: Call) -> str | None:
        """Whose shares a call uses; None for those of callers without credentials."""
        if self._members is not None and call.caller_service is not None:
            # A batch belongs to many callers, so it counts for the service that has sent it.
            return SERVICE_SUBJECTS + call.caller_service
        return call.principal.known_subject

    def _parse_and_check(self, data: bytes) -> Message:
        """Parses and checks one message of a stream. Its errors are raised in the handler's loop over the requests."""
        message = self._parse(data)
        # Also in the middle of a stream: one long upload could use up the reserved space.
        self._check_condition()
        if self._check is not None:
            self._check(message, len(data))
        return message

    def _check_condition(self) -> None:
        """Raises if the server does not take such calls at the moment."""
        if self._changes and self._server.refuses_changes is not None:
            raise error_for(self._server.refuses_changes)
        if self._adds_data and self._server.is_full:
            raise error_for("STORAGE_FULL")

    def _single_answer(self) -> Behavior:
        original = self._original
        behavior: Any = original.stream_unary if original.request_streaming else original.unary_unary
        serialize = _required(original.response_serializer)
        if not inspect.iscoroutinefunction(behavior):
            raise TypeError(f"{self._name}: its servicer's method must be async")

        async def answer(call: Call, request: Any, context: Context) -> bytes | None:
            response = await behavior(request, context)
            self._conclude(call)
            data = serialize(response)
            self._server.messages.hold(self._subject(call), len(data))
            return data

        return answer

    def _streamed_answer(self) -> Behavior:
        original = self._original
        behavior: Any = original.stream_stream if original.request_streaming else original.unary_stream
        serialize = _required(original.response_serializer)
        if not inspect.isasyncgenfunction(behavior):
            raise TypeError(f"{self._name}: its servicer's method must be an async generator")

        async def answer(call: Call, request: Any, context: Context) -> bytes | None:
            patience = Patience(self._pace(call))
            # The generator is always closed. Otherwise the handler's own `finally` would only run at garbage
            # collection.
            async with aclosing(behavior(request, context)) as messages:
                async for message in messages:
                    # Checked before every message is sent: it costs almost nothing.
                    self._conclude(call)
                    data = serialize(message)
                    try:
                        await patience.wait_for(context.write(data))
                    except TimeoutError:
                        raise error_for("REQUEST_TIMEOUT", "the answer was not read") from None
                    patience.earn(len(data))
                    # Frees the message and its copy while the next one is made, or waited for.
                    del data, message
            self._conclude(call)
            return None

        return answer

    def _pace(self, call: Call) -> Pace:
        return self._server.paces.of(call, is_long_lived=self._is_long_lived)

    def _conclude(self, call: Call) -> None:
        """Raises if the rule leaves a check to the domain, and the domain has not done it."""
        if self._gate.ends_checked and not call.checked:
            raise error_for(
                "INTERNAL", f"{self._name} answered without the check that its rule ({self._gate.rule}) demands"
            )

    async def _fail(self, call: Call, context: Context, public_error: DomainError, cause: BaseException) -> NoReturn:
        """Ends the call with `public_error`. An internal cause goes only to the log, never to the caller."""
        if public_error.reason == "INTERNAL":
            _log.error("rpc_failed", method=self._name, subject=call.principal.subject, exc_info=cause)
        elif public_error.reason == "UNAVAILABLE":
            # In most cases another service does not answer. gRPC's text names it.
            _log.warning("rpc_unavailable", method=self._name, error=str(cause), cause=str(cause.__cause__ or ""))
        try:
            async with asyncio.timeout(_ABORT_SECONDS):
                await abort(context, public_error, self._server.service)
        except TimeoutError:
            # The client does not read, so it will not read the status. Cancelling the call resets its stream.
            raise asyncio.CancelledError from None
        except grpc.aio.AbortError as aborted:
            # gRPC's call refers to this error, the error's traceback to frames, and those to gRPC's call. The cycle
            # would keep the whole request in memory until the next full garbage collection, which is rare. So the
            # error goes on without the frames, and without the error that caused it.
            aborted.__context__ = None
            del public_error, cause
            raise aborted.with_traceback(None) from None

    def _account_for(self, call: Call, request: Any, code: str, seconds: float) -> None:
        """Counts and logs a call that has ended; of a batch, each member for itself."""
        if isinstance(request, BatchStream):
            request.finish(code)
        elif self._members is not None and account_members(code, seconds, self._account):
            return
        self._account.note(call, code, seconds)


_MAKE_HANDLER: dict[bool, Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    False: grpc.stream_unary_rpc_method_handler,
    True: grpc.stream_stream_rpc_method_handler,
}


def _parser(original: grpc.RpcMethodHandler[Any, Any]) -> Callable[[bytes], Message]:
    deserialize = _required(original.request_deserializer)

    def parse(data: bytes) -> Message:
        try:
            request: Message = deserialize(data)
        except DecodeError as error:
            raise Invalid(message="the request is not a message of the contract's type") from error
        return request

    return parse


def _required(function: Callable[[Any], T] | None) -> Callable[[Any], T]:
    """The function, which generated code always has. gRPC's types allow None."""
    if function is None:
        raise TypeError("a method without a message type")
    return function


def _public(error: Exception) -> DomainError:
    """The error that the caller sees."""
    return error if isinstance(error, DomainError) else error_for("INTERNAL")


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _has_passed(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def _code_of(context: Context) -> str:
    # It is None until it is set, although its type does not say so.
    code: grpc.StatusCode | None = context.code()
    return "CANCELLED" if code is None else code.name
