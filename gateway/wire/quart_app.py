"""Quart, with requests of our own, and its routes: all that are no surface of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Sequence
from typing import Any, cast

from quart import Blueprint, Quart, Request
from quart import request as current
from quart.wrappers import Response
from quart.wrappers.request import Body
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Response as WerkzeugResponse

from gateway.wire.answer import Answer
from gateway.wire.request import GatewayRequest
from svckit.errors import DomainError, error_for


class QuartApp(Quart):
    """Quart, whose blueprints answer requests of the gateway."""

    def __init__(self, blueprints: Sequence[Blueprint], maximum_body_bytes: int) -> None:
        """Takes the blueprints, and the size of the largest body that a route may read as a whole."""
        super().__init__("gateway", static_folder=None, template_folder=None)
        self._maximum_body_bytes = maximum_body_bytes
        self.config["MAX_CONTENT_LENGTH"] = maximum_body_bytes
        self.url_map.merge_slashes = False
        self.url_map.strict_slashes = False
        for blueprint in blueprints:
            self.register_blueprint(blueprint)

    async def answer_route(self, request: GatewayRequest) -> Answer:
        """Answers a request by the routes of the blueprints.

        Raises:
            DomainError: there is no such route, it has not this method, or it refuses the request.
        """
        return _answer_of(await self.handle_request(_QuartRequest(request, self._maximum_body_bytes)))

    async def handle_exception(self, error: Exception) -> Response:
        """Raises the error again: the app turns it into the right form."""
        raise error

    async def handle_user_exception(self, error: Exception) -> Response:
        """Raises the error again, too: the error handlers of blueprints are not used."""
        if isinstance(error, HTTPException):
            raise _domain_error(error)
        raise error


def current_request() -> GatewayRequest:
    """The request that a view of Quart's is answering."""
    return cast("_QuartRequest", current).given


class _QuartRequest(Request):
    """A request as Quart wants it.

    Attributes:
        given: the request that it was made from.
    """

    def __init__(self, given: GatewayRequest, maximum_body_bytes: int) -> None:
        scope = cast("Any", given.scope)
        headers = Headers()
        headers["Remote-Addr"] = given.peer_address or "<local>"
        for name, value in scope["headers"]:
            headers.add(name.decode("latin-1").title(), value.decode("latin-1"))
        if given.http_version < "1.1":
            headers.setdefault("Host", "")
        super().__init__(
            given.method,
            given.scheme,
            scope["path"],
            given.query_string,
            headers,
            scope.get("root_path", ""),
            given.http_version,
            scope,
            send_push_promise=_push_nothing,
        )
        self.given = given
        self.body = _QuartBody(given, maximum_body_bytes)


class _QuartBody(Body):
    """The body of a request, read when a route asks for it."""

    def __init__(self, given: GatewayRequest, maximum_bytes: int) -> None:
        # `super().__init__` is not called: it makes a buffer for a body that is pushed.
        self._body = given.body
        self._maximum_bytes = maximum_bytes
        self._whole: bytes | None = None

    def __aiter__(self) -> _QuartBody:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._body.next_piece()
        if not piece:
            raise StopAsyncIteration
        return piece

    def __await__(self) -> Generator[Any, None, Any]:
        return self._read_whole().__await__()

    async def _read_whole(self) -> bytes:
        if self._whole is None:
            self._whole = await self._body.read(self._maximum_bytes, "REQUEST_TOO_LARGE")
        return self._whole

    def clear(self) -> None:
        """Drops a body that was read as a whole."""
        self._whole = b""


async def _push_nothing(_path: str, _headers: Headers) -> None:
    """HTTP/2 clients have given up pushed answers."""


def _answer_of(response: Response | WerkzeugResponse) -> Answer:
    headers = list(response.headers.items())
    if not isinstance(response, Response):
        return Answer(response.status_code, headers, response.get_data())
    return Answer(response.status_code, headers, _pieces(response))


async def _pieces(response: Response) -> AsyncIterator[bytes]:
    async with response.response as pieces:
        async for piece in pieces:
            yield piece.encode() if isinstance(piece, str) else piece


def _domain_error(error: HTTPException) -> DomainError:
    match error.code:
        case 404 | 308 | 301:
            return error_for("NOT_FOUND")
        case 405 if isinstance(error, MethodNotAllowed):
            return error_for("UNSUPPORTED", metadata={"allow": ", ".join(sorted(error.valid_methods or ()))})
        case 408:
            return error_for("REQUEST_TIMEOUT")
        case 413:
            return error_for("REQUEST_TOO_LARGE")
        case 415:
            return error_for("UNSUPPORTED_MEDIA_TYPE")
        case code if code is not None and 400 <= code < 500:
            return error_for("BAD_REQUEST")
    return error_for("INTERNAL")
