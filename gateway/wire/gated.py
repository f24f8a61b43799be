"""Bodies that stay outside until the app asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from hypercorn.protocol.events import Body, Event, Request, StreamClosed
from hypercorn.protocol.http_stream import HTTPStream

OPEN_BODY_KEY = "roadstead.open_body"
"""Where the app finds the function that lets the body in: in the `state` of its ASGI scope."""


RESET_STREAM_KEY = "roadstead.reset_stream"
"""Likewise: the function that ends the stream of an HTTP/2 request at once."""


@dataclass(frozen=True)
class BodyWanted(Event):
    """The app wants the body of a stream."""


@dataclass(frozen=True)
class StreamBroken(Event):
    """The app cannot finish the answer of a stream."""


class GatedStream(HTTPStream):
    """One request whose body is not taken from the connection until the app asks for it.

    Hypercorn puts the first pieces of each body into the app's queue, and asks clients that wait (`Expect:
    100-continue`) for it. So a thousand clients without any right to send a body would each fill the queue. Here the
    connection is not read any further, until the app asks or the request ends.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        """Has the signature that Hypercorn calls."""
        super().__init__(*args, **named)
        self._opened = asyncio.Event()

    async def handle(self, event: Event) -> None:
        """Handles one event of the connection."""
        if isinstance(event, Request):
            functions = {OPEN_BODY_KEY: self._open, RESET_STREAM_KEY: self._reset}
            event = replace(event, state=cast("Any", {**event.state, **functions}))
        elif isinstance(event, Body):
            await self._opened.wait()
        elif isinstance(event, StreamClosed):
            self._opened.set()
        await super().handle(event)

    async def _open(self) -> None:
        if not self._opened.is_set():
            self._opened.set()
            await self.send(BodyWanted(stream_id=self.stream_id))

    async def _reset(self) -> None:
        await self.send(StreamBroken(stream_id=self.stream_id))


def body_opener(scope: Mapping[str, Any]) -> Callable[[], Awaitable[None]] | None:
    """The function that lets the body of a request in; None with another server than ours."""
    return _function(scope, OPEN_BODY_KEY)


def stream_resetter(scope: Mapping[str, Any]) -> Callable[[], Awaitable[None]] | None:
    """The function that resets the stream of an HTTP/2 request; None with another server than ours."""
    return _function(scope, RESET_STREAM_KEY)


def _function(scope: Mapping[str, Any], key: str) -> Callable[[], Awaitable[None]] | None:
    found: Callable[[], Awaitable[None]] | None = (scope.get("state") or {}).get(key)
    return found
