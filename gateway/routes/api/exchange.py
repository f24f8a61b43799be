"""One request under /api/v2.0, as its route sees it; and the routes that are written by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.transcode.openapi import HandwrittenOperation
from gateway.wire.answer import Answer
from gateway.wire.origin import Origin
from gateway.wire.request import GatewayRequest
from svckit.access.call import Call


@dataclass(slots=True)
class ApiExchange:
    """A request on its way to a route.

    Attributes:
        request: as it came.
        variables: of the path, decoded, in order.
        origin: where it comes from.
        call: what the services see; it is the current one while the route answers, and holds the caller's token.
    """

    request: GatewayRequest
    variables: list[str]
    origin: Origin
    call: Call

    def header(self, name: str) -> str | None:
        """The value of a header."""
        return self.request.headers.get(name)


Respond = Callable[[ApiExchange], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class HandwrittenRoute:
    """A route that no contract describes.

    Attributes:
        operation: what it is, described.
        answer: answers a request.
        ignores_credentials: whether it is the same for everybody, so that wrong credentials do not matter.
    """

    operation: HandwrittenOperation
    answer: Respond
    ignores_credentials: bool = False

    @property
    def method(self) -> str:
        """Of HTTP."""
        return self.operation.method

    @property
    def path(self) -> str:
        """The template for people."""
        return self.operation.path
