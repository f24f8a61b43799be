"""The `Upgrade` header is ignored: this server offers no other protocol, and answers with plain HTTP.

A server may ignore `Upgrade` (RFC 9110 §7.8). Hypercorn (0.18) does not:

- It would accept a websocket, and Quart would answer with an HTML page and status 500.
- It would accept HTTP/2 in plain text (h2c), which RFC 9113 has withdrawn. Through a proxy that passes the header on,
  h2c is a tunnel in which the client can write `X-Forwarded-For` itself.

A client that knows beforehand that this server speaks HTTP/2 in plain text may still begin with it.
"""

from __future__ import annotations

import h11
from hypercorn.events import Updated
from hypercorn.protocol.h11 import H2ProtocolAssumedError, H11Protocol


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
