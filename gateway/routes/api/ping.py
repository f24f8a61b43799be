"""GET /ping: says that the API is up. It does not depend on the services."""

from __future__ import annotations

from gateway.routes.api.exchange import ApiExchange, HandwrittenRoute
from gateway.transcode.contracts import PREFIX
from gateway.transcode.openapi import HandwrittenOperation
from gateway.wire.answer import Answer


async def answer(_exchange: ApiExchange) -> Answer:
    """`Pong`, as in Harbor."""
    return Answer(200, [("Content-Type", "text/plain; charset=utf-8")], b"Pong")


ROUTE = HandwrittenRoute(
    HandwrittenOperation("GET", f"{PREFIX}/ping", "getPing", "Say that the API is up"),
    answer,
    ignores_credentials=True,
)
"""The route."""
