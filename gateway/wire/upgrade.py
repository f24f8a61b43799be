"""Other protocols that a client may ask a connection to turn into. There are none here, so it hears HTTP's own answer.

A server may ignore `Upgrade` (RFC 9110 §7.8), and this one does. Hypercorn (seen on 0.18) would make a websocket of it,
and Quart a page of HTML with status 500; or HTTP/2 in plain text, which RFC 9113 has withdrawn: through a proxy that
passes the header on it is a tunnel, in which a client writes `X-Forwarded-For` itself. Who knows beforehand that this
server speaks HTTP/2 in plain text may begin with it, as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import h11
from hypercorn.events import Updated
from hypercorn.protocol.h11 import H2ProtocolAssumedError, H11Protocol

from gateway.wire.errors import error_for_path
from svckit.errors import error_for

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, WebsocketScope
    from quart import Quart


class PlainHttp1(H11Protocol):
    """HTTP/1 that stays HTTP/1."""

    async def _check_protocol(self, event: h11.Request) -> None:
        try:
            await super()._check_protocol(_without_upgrade(event))
        except H2ProtocolAssumedError:
            # The preface of HTTP/2 looked like a request, so Hypercorn has stopped its clock for idle connections. None
            # has come yet, and without the clock a client that sends nothing else would be kept for ever.
            await self.send(Updated(idle=True))
            raise

    async def _create_stream(self, request: h11.Request) -> None:
        await super()._create_stream(_without_upgrade(request))


def _without_upgrade(request: h11.Request) -> h11.Request:
    if not any(name == b"upgrade" for name, _ in request.headers):
        return request
    return h11.Request(
        method=request.method,
        target=request.target,
        headers=[(name, value) for name, value in request.headers if name != b"upgrade"],
        http_version=request.http_version,
    )


class RefusedWebsocket:
    """A websocket over HTTP/2 (RFC 8441), which no header announces: 404, in the form that belongs to its path."""

    def __init__(self, app: Quart, scope: WebsocketScope) -> None:
        """As Quart builds it."""
        self._path = scope["path"]

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Refuses it."""
        answer = error_for_path(self._path, error_for("NOT_FOUND", "there are no websockets here"))
        headers = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in answer.headers]
        start = {"type": "websocket.http.response.start", "status": answer.status, "headers": headers}
        await send(cast("Any", start))
        body = {"type": "websocket.http.response.body", "body": answer.body, "more_body": False}
        await send(cast("Any", body))
