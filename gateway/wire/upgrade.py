"""The `Upgrade` header is ignored: this server offers no other protocol, and answers with plain HTTP.

A server may ignore `Upgrade` (RFC 9110 §7.8). Hypercorn (0.18) does not:

- It would accept a websocket, and Quart would answer with an HTML page and status 500.
- It would accept HTTP/2 in plain text (h2c), which RFC 9113 has withdrawn. Through a proxy that passes the header on,
  h2c is a tunnel in which the client can write `X-Forwarded-For` itself.

A client that knows beforehand that this server speaks HTTP/2 in plain text may still begin with it.
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


class NoUpgradeHttp1(H11Protocol):
    """HTTP/1 that never changes to another protocol."""

    async def _check_protocol(self, event: h11.Request) -> None:
        try:
            await super()._check_protocol(_without_upgrade(event))
        except H2ProtocolAssumedError:
            # The preface of HTTP/2 looked like a request, so Hypercorn has stopped its idle timer. No request has
            # arrived yet. Without the timer, a client that sends nothing else would keep its connection for ever.
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
    """Answers a websocket over HTTP/2 (RFC 8441) with 404. Such a request has no `Upgrade` header to remove."""

    def __init__(self, app: Quart, scope: WebsocketScope) -> None:
        """Has the signature that Quart calls."""
        self._path = scope["path"]

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Sends the 404, in the form that belongs to the path."""
        answer = error_for_path(self._path, error_for("NOT_FOUND", "there are no websockets here"))
        headers = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in answer.headers]
        start = {"type": "websocket.http.response.start", "status": answer.status, "headers": headers}
        await send(cast("Any", start))
        body = {"type": "websocket.http.response.body", "body": answer.body, "more_body": False}
        await send(cast("Any", body))
