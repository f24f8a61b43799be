"""Hypercorn's HTTP/1.1, with changes for which Hypercorn has no setting (hypercorn 0.18)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import h11
from hypercorn.events import RawData

from gateway.servers.hypercorn.gated import BodyWanted
from gateway.servers.hypercorn.upgrade import NoUpgradeHttp1
from gateway.wire.answer import JSON
from gateway.wire.errors import rest_error
from svckit.errors import error_for

_JOINED_BYTES = 64 * 1024
_CLOSE = (b"connection", b"close")


_REASON_AT = len(b"HTTP/1.1 200 ")
_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


def with_reason(head: bytes, status: int) -> bytes:
    """Adds the reason phrase to the head of an answer.

    Hypercorn has none, and h11 leaves it empty, which HTTP allows. But some clients, such as containerd, show nothing
    else of an error.
    """
    return head[:_REASON_AT] + _REASONS.get(status, b"") + head[_REASON_AT:]


def _refusal(status: int) -> tuple[list[tuple[str, str]], bytes]:
    reason = "HEADERS_TOO_LARGE" if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE else "BAD_REQUEST"
    body = rest_error(error_for(reason)).whole_body
    return [("content-type", JSON), ("content-length", str(len(body))), ("connection", "close")], body


def refusal(status: int) -> bytes:
    """The whole answer to a request that could not be read."""
    headers, body = _refusal(status)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return with_reason(b"HTTP/1.1 %d \r\n" % status, status) + lines.encode("ascii") + b"\r\n" + body


class _SilentConnection(h11.Connection):
    """An h11 connection that never asks for `100 Continue`: Hypercorn would send it before the app has seen a head.

    Attributes:
        is_over: whether the connection is being closed. Then nothing more is read from it.
    """

    is_over = False

    @property
    def they_are_waiting_for_100_continue(self) -> bool:
        return False

    def next_event(self) -> Any:
        return h11.ConnectionClosed() if self.is_over else super().next_event()


class JoinedHeadHttp1(NoUpgradeHttp1):
    """Sends the head of an answer together with the beginning of its body: one packet instead of two.

    `100 Continue` is sent when the app asks for the body, and not before.
    """

    _head = b""

    def __init__(self, *args: Any, **named: Any) -> None:
        """Has the signature that Hypercorn calls."""
        super().__init__(*args, **named)
        self.connection = _SilentConnection(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)

    async def stream_send(self, event: Any) -> None:
        """Sends what a request has to send, and handles its wish for the body."""
        if not isinstance(event, BodyWanted):
            await super().stream_send(event)
            return
        connection: Any = self.connection
        if connection.client_is_waiting_for_100_continue and connection.our_state is h11.SEND_RESPONSE:
            await super()._send_h11_event(h11.InformationalResponse(status_code=100, headers=[]))

    async def _maybe_recycle(self) -> None:
        connection: Any = self.connection
        # If the client has sent further requests already, Hypercorn would wait for their turn, which never comes.
        connection.is_over = (connection.our_state, connection.their_state) != (h11.DONE, h11.DONE)
        await super()._maybe_recycle()

    async def _send_h11_event(self, event: Any) -> None:
        try:
            data: bytes = self.connection.send(event) or b""
        except h11.LocalProtocolError:
            if self.connection.their_state != h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            data = with_reason(data, event.status_code)
        # With `Connection: close` the head is sent at once: the app may still be reading the request body
        # (`wire.connection`), and the client must see the answer meanwhile.
        if isinstance(event, h11.Response) and _CLOSE not in event.headers:
            self._head = data
            return
        head, self._head = self._head, b""
        if head and len(data) > _JOINED_BYTES:
            await self.send(RawData(data=head))
            head = b""
        if head or data:
            await self.send(RawData(data=head + data))

    async def _send_error_response(self, status_code: int) -> None:
        """Answers a request that h11 could not read, and that the app does not see. Hypercorn would send no body."""
        headers, body = _refusal(status_code)
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())
