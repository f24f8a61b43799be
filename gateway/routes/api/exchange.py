"""One request under /api/v2.0 as its route sees it, and the type of hand-written routes."""

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
    """A request for a route.

    Attributes:
        request: the HTTP request.
        variables: the decoded variables of the path, in order.
        origin: where the request comes from.
        call: the call as the services see it, with the caller's token. It is the current call while the route answers.
    """

    request: GatewayRequest
    variables: list[str]
    origin: Origin
    call: Call

    def header(self, name: str) -> str | None:
        """The value of a header; None without it."""
        return self.request.headers.get(name)


Respond = Callable[[ApiExchange], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class HandwrittenRoute:
    """A route that no contract describes.

    Attributes:
        operation: its description.
        answer: answers a request.
        ignores_credentials: whether the answer is the same for everybody. Then wrong credentials are ignored.
    """

    operation: HandwrittenOperation
    answer: Respond
    ignores_credentials: bool = False

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.operation.method

    @property
    def path(self) -> str:
        """The path template, as documentation shows it."""
        return self.operation.path
