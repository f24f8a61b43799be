"""The app: the handling of every request before and after its route.

There are two kinds of routes. The hot ones (/v2, the token service, /api/v2.0) are *surfaces*: they are found by the
prefix of the path and called directly. The others are Quart's blueprints. Both answer through
`gateway.wire.connection`. `gateway.server.build_app` lists them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quart import Blueprint

from gateway.config import GatewaySettings
from gateway.wire.admission import Admission
from gateway.wire.answer import Answer
from gateway.wire.body import Receive
from gateway.wire.connection import HttpConnection, Send
from gateway.wire.errors import error_for_path
from gateway.wire.measure import HttpMetrics
from gateway.wire.origin import origin_reader
from gateway.wire.quart_app import QuartApp
from gateway.wire.request import GatewayRequest
from gateway.wire.target import NO_PATH, is_plain
from svckit.errors import DomainError, error_for
from svckit.logging import RepeatedLine, get_logger
from svckit.tokens.verifier import TokenVerifier

log = get_logger(__name__)

_FIELDS = ("method", "path", "route", "status", "sent_bytes", "received_bytes", "milliseconds", "client")
_request_line = RepeatedLine(__name__, "request", _FIELDS)

_ALWAYS_SERVED = frozenset({"/healthz", "/readyz", "/metrics"})
"""Probes and metrics are answered even when the limit of requests in flight is reached."""

_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")

Handler = Callable[[GatewayRequest], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Surface:
    """A tree of paths that one handler serves, with a router of its own.

    Attributes:
        prefix: the prefix of the paths. "/v2" means /v2 and all paths below it.
        handler: answers a request. A DomainError that it raises is answered in the form that belongs to the path.
    """

    prefix: str
    handler: Handler

    def holds(self, path: str) -> bool:
        """Whether a path is in this tree."""
        return path.startswith(self.prefix) and (len(path) == len(self.prefix) or path[len(self.prefix)] == "/")


class Gateway(QuartApp):
    """Quart, with a direct call of the surfaces.

    Attributes:
        settings: its settings.
        metrics: count requests.
        origins: reads where requests come from.
        admission: the places and the memory of this process.
        connections: its open connections.
        in_flight: how many requests are being served.
        discarding: how many bodies are being dropped after their answers.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        surfaces: Sequence[Surface],
        blueprints: Sequence[Blueprint],
        metrics: HttpMetrics,
        verifier: TokenVerifier,
    ) -> None:
        """Builds the app; does not connect to the services.

        Args:
            settings: the settings of the gateway.
            surfaces: the surfaces. The one with the longest matching prefix is used.
            blueprints: all other routes.
            metrics: counts the requests.
            verifier: verifies callers' tokens, because callers with credentials have places of their own.
        """
        super().__init__(blueprints, settings.limits.json_bytes)
        self.settings = settings
        self.metrics = metrics
        self.origins = origin_reader(settings)
        self._limits = settings.limits
        self.admission = Admission(settings.limits, verifier, metrics, self.origins.trusts_text)
        self.connections = self.admission.connections
        self.in_flight = 0
        self.discarding = 0
        metrics.in_flight.set_function(lambda: self.in_flight)
        self._surfaces = tuple(sorted(surfaces, key=lambda surface: len(surface.prefix), reverse=True))

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serves one request."""
        await HttpConnection(self, scope)(receive, send)

    async def answer(self, request: GatewayRequest) -> Answer:
        """Answers one request.

        Raises:
            ClientGone: the client has disconnected.
        """
        path = request.raw_target
        try:
            self._refuse_excess(request)
            if path not in _ALWAYS_SERVED:
                self._let_in(request)
            for surface in self._surfaces:
                if surface.holds(path):
                    return await surface.handler(request)
            if not is_plain(path):
                # Quart would also find a route by another spelling of its path, such as //metrics or /%6detrics.
                raise error_for("NOT_FOUND")
            return await self.answer_route(request)
        except DomainError as error:
            if error.reason == "INTERNAL":
                log.exception("internal error", route=request.route)
            return error_for_path(path, error)

    def fault(self, request: GatewayRequest, error: Exception) -> Answer:
        """The answer to a bug of the gateway. Its text goes only to the log."""
        log.error("unhandled error", route=request.route, exc_info=error)
        return error_for_path(request.raw_target, error_for("INTERNAL"))

    def finished(self, request: GatewayRequest, status: int, sent_bytes: int, seconds: float) -> None:
        """Logs and counts a request. The query is not logged, because it contains the ticket of an upload."""
        received_bytes = request.body.received_bytes
        self.metrics.observe(request.route, request.method, status, seconds, received_bytes, sent_bytes)
        values = (
            request.method,
            request.raw_target,
            request.route,
            status,
            sent_bytes,
            received_bytes,
            round(seconds * 1000, 1),
            request.read_origin(self.origins).client_address,
        )
        if request.raw_target in _ALWAYS_SERVED:
            # Probes come every few seconds and are not interesting, so they are logged at DEBUG only.
            log.debug("request", **dict(zip(_FIELDS, values, strict=True)))
        else:
            _request_line.log(*values)

    def _let_in(self, request: GatewayRequest) -> None:
        try:
            credentials = request.credentials
        except DomainError:
            # The route refuses them, in the form that belongs to it.
            credentials = None
        request.visit.enter(credentials, request.read_origin(self.origins).client_address)

    def _refuse_excess(self, request: GatewayRequest) -> None:
        limits = self._limits
        if request.http_version == "1.1" and len(request.headers.getlist("Host")) != 1:
            raise error_for("BAD_REQUEST", "a request must have one Host header")
        if not request.raw_target.isascii() or not request.query_string.isascii():
            raise error_for("BAD_REQUEST", "the target of a request must be ASCII")
        if request.raw_target == NO_PATH:
            if request.method == "CONNECT":
                raise error_for("UNSUPPORTED", "this server is no proxy", metadata={"allow": ", ".join(_METHODS)})
            raise error_for("NOT_FOUND", "the target of a request must be a path")
        query = request.query_string
        if len(query) > limits.query_bytes:
            raise error_for("URI_TOO_LONG", f"the query has {len(query)} bytes; the limit is {limits.query_bytes}")
        headers = request.headers
        size = len(request.raw_target) + len(query) + headers.size_bytes
        if headers.count > limits.header_count or size > limits.header_bytes:
            raise error_for("HEADERS_TOO_LARGE")
        if "Transfer-Encoding" not in headers:
            return
        if "Content-Length" in headers:
            # A body with two lengths could be used to hide a second request from a proxy (request smuggling).
            raise error_for("BAD_REQUEST", "Content-Length and Transfer-Encoding must not be sent together")
        if ",".join(headers.getlist("Transfer-Encoding")).lower() not in {"", "chunked"}:
            raise error_for("BAD_REQUEST", "the only Transfer-Encoding here is chunked, once")
