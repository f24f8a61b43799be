"""The request as the routes see it."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway.wire.admission import Visit
from gateway.wire.body import Receive, StreamedBody
from gateway.wire.credentials import Basic, Bearer, parse_authorization
from gateway.wire.headers import Headers
from gateway.wire.line import Line
from gateway.wire.origin import NOT_FORWARDED, ForwardedHeaders, Origin, OriginReader
from svckit.access.call import Call
from svckit.errors import error_for
from svckit.logging import trace_of

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)


class GatewayRequest:
    """A request, with what the gateway reads from its headers.

    It is made from the ASGI scope. Quart's own request takes a fifth of the gateway's time for a manifest, so only
    requests for Quart's routes become one (`gateway.wire.quart_app`).

    Attributes:
        scope: the ASGI scope.
        method: in capital letters.
        scheme: of the connection: "http" or "https".
        http_version: "1.0", "1.1" or "2".
        raw_target: the path as the client wrote it, percent-encoded, without the query; "*" if the target is no path.
        query_string: as the client wrote it.
        headers: the headers.
        content_length: in bytes; None without the header, or if the body is chunked. A malformed one counts as 0, of
            several the first.
        may_have_body: whether a body may come. With HTTP/2, no header need announce it.
        body: the body, which is read in pieces.
        visit: what the request takes of the gateway's places and memory.
        request_id: the client's own if it is well formed, else a new one.
        traceparent: the W3C trace context; None if it is malformed or missing.
        trace_id: the trace in it; None without one.
        route: the name of the route that serves it, for metrics and logs; set by the router.
    """

    __slots__ = (
        "_authorization",
        "_origin",
        "body",
        "content_length",
        "headers",
        "http_version",
        "may_have_body",
        "method",
        "query_string",
        "raw_target",
        "request_id",
        "route",
        "scheme",
        "scope",
        "trace_id",
        "traceparent",
        "visit",
    )

    def __init__(self, scope: Mapping[str, Any], receive: Receive, line: Line | None, visit: Visit) -> None:
        """Reads the scope.

        Args:
            scope: the ASGI scope, whose path is one (`gateway.wire.target`).
            receive: gives the next event of the request.
            line: what the server offers; None if it offers nothing.
            visit: what the request takes.
        """
        self.scope = scope
        method: str = scope["method"]
        self.method = method.upper()
        self.scheme: str = scope["scheme"]
        self.http_version: str = scope["http_version"]
        raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
        self.raw_target = raw.decode("latin-1")
        self.query_string: bytes = scope["query_string"]
        headers = self.headers = Headers(scope["headers"])
        is_chunked = "Transfer-Encoding" in headers
        self.content_length = None if is_chunked else _content_length(headers)
        self.may_have_body = is_chunked or (self.content_length or 0) > 0 or self.http_version == "2"
        self.body = StreamedBody(self.content_length, receive, line, visit)
        self.visit = visit
        self.request_id = _request_id(headers.get("X-Request-Id", ""))
        traceparent = headers.get("Traceparent", "")
        self.trace_id = trace_of(traceparent) if traceparent else None
        self.traceparent = traceparent if self.trace_id else None
        self.route = "unmatched"
        self._origin: Origin | None = None
        self._authorization: tuple[Basic | Bearer | None] | None = None

    @property
    def credentials(self) -> Basic | Bearer | None:
        """The credentials in the Authorization header; None without one.

        Raises:
            Unauthenticated: the header is malformed.
        """
        if self._authorization is None:
            self._authorization = (parse_authorization(self.headers.getlist("Authorization")),)
        return self._authorization[0]

    @property
    def peer_address(self) -> str | None:
        """The address that the connection comes from; None for a unix socket."""
        client = self.scope.get("client")
        return client[0] if client else None

    def read_origin(self, reader: OriginReader) -> Origin:
        """Where the request comes from, and which host name the client used."""
        if self._origin is None:
            headers = self.headers
            self._origin = reader.read(
                self.peer_address,
                self.scheme,
                headers.get("Host", ""),
                NOT_FORWARDED
                if not reader.reads_headers
                else ForwardedHeaders(
                    headers.getlist("X-Forwarded-For"),
                    headers.getlist("X-Forwarded-Proto"),
                    headers.getlist("X-Forwarded-Host"),
                    headers.getlist("Forwarded"),
                ),
            )
        return self._origin

    @staticmethod
    def deadline_in(seconds: float) -> float:
        """The value of `time.monotonic()` in so many seconds."""
        return time.monotonic() + seconds

    def call(self, token: str | None, origin: Origin, deadline: float | None) -> Call:
        """The call as the services see it: the caller's token and address, the request id, the trace.

        Args:
            token: the caller's own token, unchanged; None for none.
            origin: where the request comes from.
            deadline: the value of `time.monotonic()` at which unary calls give up; None for no deadline.
        """
        return Call(
            f"{self.method} {self.route}",
            token=token,
            request_id=self.request_id,
            traceparent=self.traceparent,
            client_address=origin.client_address,
            deadline=deadline,
        )


def decode_path(raw: str) -> str:
    """Decodes a percent-encoded path once.

    Raises:
        DomainError: BAD_REQUEST for a broken escape, text that is not UTF-8, or control characters (NUL included).
    """
    text = raw
    if "%" in raw:
        if _BAD_ESCAPE.search(raw):
            raise error_for("BAD_REQUEST", "the path has a broken percent-encoding")
        try:
            text = unquote_to_bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            raise error_for("BAD_REQUEST", "the path is not UTF-8") from None
    if _CONTROL.search(text):
        raise error_for("BAD_REQUEST", "the path holds control characters")
    return text


def _request_id(given: str) -> str:
    # The id goes into logs and gRPC metadata, so an id with other characters is replaced.
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def _content_length(headers: Headers) -> int | None:
    text = headers.get("Content-Length")
    if text is None:
        return None
    text = text.strip(" \t")
    try:
        return max(0, int(text)) if _INTEGER.fullmatch(text) else 0
    except ValueError:  # of thousands of digits
        return 0
