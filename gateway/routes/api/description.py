"""GET /openapi.json: the OpenAPI description of /api/v2.0."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from gateway.routes.api.exchange import ApiExchange, HandwrittenRoute
from gateway.transcode.contracts import PREFIX
from gateway.transcode.openapi import HandwrittenOperation, OpenApi
from gateway.transcode.route import RpcRoute
from gateway.wire.answer import IS_JSON, Answer


def route(transcoded: Sequence[RpcRoute], by_hand: Sequence[HandwrittenRoute]) -> HandwrittenRoute:
    """The route. The description is made at the first request.

    Args:
        transcoded: the routes of the RPCs.
        by_hand: the hand-written routes, without this one.
    """
    operation = HandwrittenOperation(
        "GET", f"{PREFIX}/openapi.json", "getOpenApi", "Describe this API", {"type": "object"}
    )
    operations = [*(route.operation for route in by_hand), operation]

    @cache
    def describe() -> bytes:
        return OpenApi(_version()).render(transcoded, operations)

    async def answer(_exchange: ApiExchange) -> Answer:
        return Answer(200, [IS_JSON], describe())

    return HandwrittenRoute(operation, answer, ignores_credentials=True)


def _version() -> str:
    try:
        return version("roadstead")
    except PackageNotFoundError:  # run from a folder that was not installed
        return "0"
