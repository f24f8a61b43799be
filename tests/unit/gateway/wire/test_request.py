"""The request that is made from the ASGI scope. What werkzeug reads from the same headers is the measure."""

import random
from typing import Any
from unittest.mock import Mock

import pytest
from quart import Request
from werkzeug.datastructures import Headers as WerkzeugHeaders

from gateway.wire.credentials import Basic, Bearer
from gateway.wire.headers import Headers
from gateway.wire.request import GatewayRequest
from svckit.errors import DomainError

Pairs = list[tuple[bytes, bytes]]

_NAMES = [b"host", b"Host", b"X-Request-Id", b"x-request-id", b"if-match", b"IF-MATCH", b"x-\xe4", b"content-length"]
_VALUES = [b"", b"a", b"b, c", b" spaced ", b"\xe4\xff\x80", b"4", b"-4", b"+4", b" 4\t", b"4_0", b"\xb2", b"9" * 5000]


def request_of(pairs: Pairs, **changes: Any) -> GatewayRequest:
    scope = {
        "method": "GET",
        "scheme": "http",
        "http_version": "1.1",
        "path": "/v2/",
        "raw_path": b"/v2/",
        "query_string": b"",
        "headers": pairs,
        "client": ("192.0.2.7", 50_000),
        **changes,
    }
    return GatewayRequest(scope, Mock(), None, Mock())


def as_werkzeug(pairs: Pairs) -> WerkzeugHeaders:
    headers = WerkzeugHeaders()
    for name, value in pairs:
        headers.add(name.decode("latin-1").title(), value.decode("latin-1"))
    return headers


def quart_request(pairs: Pairs) -> Request:
    scope: Any = {"type": "http"}
    return Request("GET", "http", "/", b"", as_werkzeug(pairs), "", "1.1", scope, send_push_promise=Mock())


def drawn(generator: random.Random) -> Pairs:
    return [(generator.choice(_NAMES), generator.choice(_VALUES)) for _ in range(generator.randrange(8))]


def test_headers_are_found_as_werkzeug_finds_them() -> None:
    generator = random.Random(5)
    for _ in range(3000):
        pairs = drawn(generator)
        ours, theirs = Headers(pairs), as_werkzeug(pairs)
        for name in ("Host", "hOST", "X-Request-Id", "If-Match", "Content-Length", "Absent"):
            assert ours.get(name) == theirs.get(name)
            assert ours.get(name, "other") == theirs.get(name, "other")
            assert ours.getlist(name) == theirs.getlist(name)
            assert (name in ours) == (name in theirs)


def test_headers_are_counted_as_http1_writes_them() -> None:
    pairs = [(b"host", b"x"), (b"Accept", b""), (b"accept", b"\xe4")]
    headers = Headers(iter(pairs))
    assert headers.count == len(pairs)
    assert headers.size_bytes == len(b"".join(name + b": " + value + b"\r\n" for name, value in pairs))


def test_a_length_is_read_as_werkzeug_reads_it() -> None:
    generator = random.Random(6)
    for _ in range(3000):
        pairs = drawn(generator)
        assert request_of(pairs).content_length == quart_request(pairs).content_length


def test_a_chunked_body_has_no_length() -> None:
    assert request_of([(b"transfer-encoding", b"chunked"), (b"content-length", b"4")]).content_length is None


@pytest.mark.parametrize(
    ("pairs", "version", "may"),
    [
        ([], "1.1", False),
        ([(b"content-length", b"0")], "1.1", False),
        ([(b"content-length", b"1")], "1.1", True),
        ([(b"transfer-encoding", b"chunked")], "1.1", True),
        ([], "2", True),
    ],
)
def test_a_body_may_come_if_the_head_says_so_and_always_with_http2(pairs: Pairs, version: str, may: bool) -> None:
    assert request_of(pairs, http_version=version).may_have_body is may


def test_a_method_is_known_in_any_case_and_a_path_by_its_bytes() -> None:
    request = request_of([], method="get", path="/v2/a b", raw_path=b"/v2/a%20b")
    assert (request.method, request.raw_target) == ("GET", "/v2/a%20b")
    assert request_of([], path="/v2/ä", raw_path=None).raw_target == "/v2/ä".encode().decode("latin-1")


def test_a_request_id_of_the_client_is_kept_if_it_is_well_formed() -> None:
    assert request_of([(b"X-REQUEST-ID", b"an-id/1")]).request_id == "an-id/1"
    made = {request_of([(b"x-request-id", value)]).request_id for value in (b"", b"a b", b"\xe4", b"x" * 129)}
    assert len(made) == 4
    assert all(len(each) == 32 and each.isalnum() for each in made)


def test_a_trace_is_passed_on_only_if_it_is_well_formed() -> None:
    good = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    request = request_of([(b"traceparent", good.encode())])
    assert (request.traceparent, request.trace_id) == (good, "a" * 32)
    for bad in (b"", b"x", good.encode().replace(b"a", b"0")):
        request = request_of([(b"traceparent", bad)])
        assert (request.traceparent, request.trace_id) == (None, None)


def test_credentials_are_those_of_the_one_header() -> None:
    assert request_of([]).credentials is None
    assert request_of([(b"Authorization", b"Bearer t")]).credentials == Bearer("t")
    assert request_of([(b"authorization", b"Basic YTpi")]).credentials == Basic("a", "b")
    twice = request_of([(b"authorization", b"Bearer t"), (b"Authorization", b"Bearer t")])
    with pytest.raises(DomainError):
        twice.credentials  # noqa: B018 - it raises


def test_a_unix_socket_has_no_address() -> None:
    assert request_of([]).peer_address == "192.0.2.7"
    assert request_of([], client=None).peer_address is None
