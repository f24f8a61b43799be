"""Quart's routes behind a request of the gateway."""

from collections.abc import Iterator
from typing import Any

import pytest
from quart import Blueprint, Response, abort
from quart import request as quart_request

from gateway.wire.admission import Visit
from gateway.wire.answer import Answer
from gateway.wire.quart_app import QuartApp, current_request
from gateway.wire.request import GatewayRequest
from svckit.errors import DomainError, error_for
from svckit.pace import Pace

_LIMIT_BYTES = 10


class _Patient(Visit):
    """The visit of a client that may take its time."""

    def __init__(self) -> None:
        self.held: list[int] = []

    @property
    def pace(self) -> Pace:
        return Pace(5.0, 0)

    def receive_much(self) -> None:
        pass

    def hold(self, size_bytes: int) -> None:
        self.held.append(size_bytes)


def request_of(method: str, path: str, *pieces: bytes, headers: Any = ()) -> GatewayRequest:
    events: Iterator[Any] = iter(
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    )

    async def receive() -> Any:
        return next(events)

    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "http_version": "1.1",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"a=1&a=2",
        "headers": [(b"host", b"x"), *headers],
        "client": ("192.0.2.7", 50_000),
    }
    return GatewayRequest(scope, receive, None, _Patient())


@pytest.fixture
def app() -> QuartApp:
    blueprint = Blueprint("test", __name__)

    @blueprint.get("/seen/<name>")
    async def seen(name: str) -> Response:
        values = quart_request.headers.getlist("X-Twice")
        return Response(f"{name} {quart_request.args.getlist('a')} {values} {current_request().raw_target}")

    @blueprint.post("/whole")
    async def whole() -> str:
        return f"{(await quart_request.body).decode()}|{(await quart_request.body).decode()}"

    @blueprint.post("/pieces")
    async def pieces() -> str:
        return " ".join([piece.decode() async for piece in quart_request.body])

    @blueprint.get("/refusing")
    async def refusing() -> Response:
        raise error_for("OVERLOADED")

    @blueprint.get("/aborting/<int:status>")
    async def aborting(status: int) -> Response:
        abort(status)

    @blueprint.get("/broken")
    async def broken() -> Response:
        raise RuntimeError("broken")

    return QuartApp([blueprint], _LIMIT_BYTES)


async def body_of(answer: Answer) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else b"".join([piece async for piece in answer.body])


async def test_a_view_sees_the_request_as_it_came(app: QuartApp) -> None:
    request = request_of("GET", "/seen/me", headers=[(b"x-twice", b"\xe4"), (b"X-Twice", b"")])
    answer = await app.answer_route(request)
    assert answer.status == 200
    assert (await body_of(answer)).decode() == "me ['1', '2'] ['ä', ''] /seen/me"


async def test_a_body_is_read_as_a_whole_and_kept_or_in_pieces(app: QuartApp) -> None:
    assert await body_of(await app.answer_route(request_of("POST", "/whole", b"ab", b"cd"))) == b"abcd|abcd"
    assert await body_of(await app.answer_route(request_of("POST", "/pieces", b"ab", b"cd"))) == b"ab cd"


async def test_a_body_that_is_too_large_is_refused(app: QuartApp) -> None:
    with pytest.raises(DomainError) as refused:
        await app.answer_route(request_of("POST", "/whole", b"x" * _LIMIT_BYTES, b"x"))
    assert refused.value.reason == "REQUEST_TOO_LARGE"


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [
        ("GET", "/nothing", "NOT_FOUND"),
        ("PUT", "/whole", "UNSUPPORTED"),
        ("GET", "/refusing", "OVERLOADED"),
        ("GET", "/aborting/415", "UNSUPPORTED_MEDIA_TYPE"),
        ("GET", "/aborting/413", "REQUEST_TOO_LARGE"),
        ("GET", "/aborting/408", "REQUEST_TIMEOUT"),
        ("GET", "/aborting/418", "BAD_REQUEST"),
        ("GET", "/aborting/500", "INTERNAL"),
    ],
)
async def test_errors_are_the_gateways_own(app: QuartApp, method: str, path: str, reason: str) -> None:
    with pytest.raises(DomainError) as raised:
        await app.answer_route(request_of(method, path))
    assert raised.value.reason == reason
    if reason == "UNSUPPORTED":
        assert raised.value.metadata["allow"] == "OPTIONS, POST"


async def test_a_bug_is_not_hidden(app: QuartApp) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        await app.answer_route(request_of("GET", "/broken"))
