"""Serves the app by Granian."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

from gateway.config import GatewaySettings
from gateway.servers.granian.line import GranianLine, peer_of
from gateway.servers.granian.peers import Peers
from gateway.servers.granian.worker import Worker
from gateway.servers.listen import listening
from gateway.servers.served import ServedApp
from gateway.wire.answer import JSON
from gateway.wire.errors import rest_error
from gateway.wire.line import LINE_KEY
from svckit.errors import error_for
from svckit.logging import get_logger

_log = get_logger(__name__)

_CUT_SECONDS = 3.0
_NOTHING_SENT = 500
_NO_HOST = (b"host", b"")


async def serve(app: ServedApp, settings: GatewaySettings, until: Callable[[], Awaitable[object]]) -> None:
    """Serves until told to stop, then waits for the requests in flight.

    Args:
        app: the app.
        settings: the settings.
        until: returns when it is time to stop.

    Raises:
        OSError: an address cannot be bound.
    """
    limits = settings.limits
    with listening(settings.listen) as sockets:
        ports = [each.getsockname()[1] for each in sockets if each.family != socket.AF_UNIX]
        peers = Peers(app.connections, ports, limits.connections, limits.keep_alive_seconds)
        requests = _Requests(app, peers)
        workers = [Worker(settings, each, requests.serve) for each in sockets]
        watching = asyncio.create_task(peers.watch())
        try:
            await until()
        finally:
            for worker in workers:
                worker.stop()
            ended = asyncio.gather(*(worker.wait() for worker in workers))
            await asyncio.wait([ended], timeout=limits.drain_seconds)
            if not ended.done():
                requests.cancel()
                peers.look()
                peers.close_all()
                await asyncio.wait([ended], timeout=_CUT_SECONDS)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            peers.look()


class _Requests:
    """The requests under way."""

    def __init__(self, app: ServedApp, peers: Peers) -> None:
        self._app = app
        self._peers = peers
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, scope: Any, proto: Any) -> None:
        """Serves one request, in the task that Granian has made for it."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._tasks.add(task)
        try:
            await self._answer(scope, proto)
        except asyncio.CancelledError:
            # By `cancel`. Granian would log it as an error of the app.
            return
        finally:
            self._tasks.discard(task)

    async def _answer(self, scope: Any, proto: Any) -> None:
        peer = scope["client"] = peer_of(scope)
        scope["state"] = {LINE_KEY: GranianLine(None if peer is None else self._peers.of_request(peer))}
        if scope["headers"][0] == _NO_HOST:
            # Granian adds it to requests without one.
            del scope["headers"][0]
        try:
            await self._app(scope, proto.receive, proto.send)
        except Exception:
            _log.exception("request failed")
        if proto.sent_response_code == _NOTHING_SENT:
            await _say_malformed(proto)

    def cancel(self) -> None:
        """Ends all of them."""
        for task in list(self._tasks):
            task.cancel()


async def _say_malformed(proto: Any) -> None:
    """Answers a request whose body hyper could not read, if nothing was answered yet.

    Granian says `http.disconnect` then, as if the client had gone. If it has, nobody hears this.
    """
    answer = rest_error(error_for("BAD_REQUEST", "the body of the request is malformed, or ended too early"))
    body = answer.whole_body
    headers = [(b"content-type", JSON.encode()), (b"content-length", str(len(body)).encode()), *GranianLine.headers]
    # An app that has answered with 500 has sent something already.
    with suppress(RuntimeError):
        await proto.send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await proto.send({"type": "http.response.body", "body": body, "more_body": False})
