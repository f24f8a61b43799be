"""The requests whose answers are recorded: each route with each method, each oddity of headers, and draws of both."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.unit.gateway.conftest import REPOSITORY, digest_of

MANIFEST = b'{"schemaVersion":2}'
BLOB = b"0123456789" * 10
MANIFEST_DIGEST, BLOB_DIGEST = digest_of(MANIFEST), digest_of(BLOB)
OTHER_DIGEST = digest_of(b"other")
PROXY = "10.0.0.1"
"""The address of a trusted proxy."""

Pairs = tuple[tuple[bytes, bytes], ...]

_DRAWS = 600
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW", "get")
_AUTHORIZED: Pairs = ((b"authorization", b"Bearer {token}"),)


@dataclass(frozen=True)
class Asked:
    """One request. `{token}`, `{ticket}` and the like in it stand for what each run makes anew.

    Attributes:
        method: the method.
        target: path and query, as a server gives them to the app.
        headers: besides Host.
        body: in pieces.
        http_version: "1.0", "1.1" or "2".
        hosts: the values of Host, one for each time it is sent.
        peer: the address of the client.
        leaves: whether the client closes the connection before the body ends.
    """

    method: str
    target: str
    headers: Pairs = ()
    body: tuple[bytes, ...] = ()
    http_version: str = "1.1"
    hosts: tuple[bytes, ...] = (b"registry.test:8080",)
    peer: str | None = "192.0.2.7"
    leaves: bool = False


_V2 = f"/v2/{REPOSITORY}"
_UPLOAD = f"{_V2}/blobs/uploads/upload-9?_state={{ticket}}"
TARGETS = (
    "/v2/",
    "/v2",
    "/v2/_catalog?n=1",
    f"{_V2}/manifests/latest",
    f"{_V2}/manifests/{MANIFEST_DIGEST}",
    f"{_V2}/manifests/absent",
    f"{_V2}/manifests/la%74est",
    f"{_V2}/manifests/new?tag=a&tag=b",
    f"{_V2}/blobs/{BLOB_DIGEST}",
    f"{_V2}/blobs/{OTHER_DIGEST}",
    f"{_V2}/blobs/sha256:zz",
    f"{_V2}/blobs/uploads/",
    f"{_V2}/blobs/uploads/?digest={digest_of(b'body')}",
    f"{_V2}/blobs/uploads/?mount={BLOB_DIGEST}&from=team/other",
    _UPLOAD,
    f"{_UPLOAD}&digest={digest_of(b'body')}",
    f"{_V2}/blobs/uploads/upload-9",
    f"{_V2}/tags/list?n=1",
    f"{_V2}/tags/list?last=%ff",
    f"{_V2}/referrers/{BLOB_DIGEST}?artifactType=a/b",
    "/v2/Team/x/tags/list",
    "/v2/team/nothing",
    "/service/token?service=registry&scope=repository:team/app:pull",
    "/service/token/x",
    "/api/v2.0/ping",
    "/api/v2.0/health",
    "/api/v2.0/systeminfo",
    "/api/v2.0/projects?page=x",
    "/api/v2.0/projects",
    "/api/v2.0/users/search?username=a&page_size=0",
    "/api/v2.0/nothing",
    "/healthz",
    "/metrics/",
    "//healthz",
    "/",
    "/nothing?a=b",
    "*",
    "http://other.test/v2/?x=1",
    "registry.test:443",
)
_BODIES = {"POST": (b"bo", b"dy"), "PUT": (b'{"schema', b'Version":2}'), "PATCH": (b"bo", b"dy")}

_SHORT = f'"{MANIFEST_DIGEST}"'.encode()
_BLOB_TAG = f'"{BLOB_DIGEST}"'.encode()
_FORWARDED: tuple[Pairs, ...] = (
    (
        (b"x-forwarded-for", b"203.0.113.9, 10.0.0.2"),
        (b"x-forwarded-proto", b"HTTPS"),
        (b"x-forwarded-host", b"h.test"),
    ),
    ((b"x-forwarded-for", b"203.0.113.9"), (b"X-Forwarded-For", b"10.0.0.3"), (b"x-forwarded-host", b"a b")),
    ((b"x-forwarded-for", b"\xe4"),),
    ((b"x-forwarded-for", b""),),
    ((b"forwarded", b'for=203.0.113.9;proto=https;host="hub.test:444"'),),
    ((b"forwarded", b"for=203.0.113.9"), (b"forwarded", b"for=10.0.0.2;host=x")),
)
ODDITIES: tuple[Pairs, ...] = (
    ((b"authorization", b"Basic YWxpY2U6b3BlbiBzZXNhbWU="),),
    ((b"authorization", b"Basic YWxpY2U6d3Jvbmc="),),
    ((b"authorization", b"Basic ?"),),
    ((b"authorization", b"bearer   {token} "),),
    ((b"authorization", b"Bearer {pull_token}"),),
    ((b"authorization", b"Bearer \xe4\xff"),),
    ((b"authorization", b"Bearer a b"),),
    ((b"authorization", b""),),
    ((b"authorization", b"Digest x"),),
    ((b"authorization", b"Bearer {token}"), (b"authorization", b"Bearer {token}")),
    ((b"Authorization", b"Bearer {token}"),),
    ((b"AUTHORIZATION", b"Bearer {pull_token}"),),
    ((b"if-none-match", _SHORT),),
    ((b"if-none-match", _BLOB_TAG),),
    ((b"if-none-match", b'"x"'), (b"If-None-Match", b"W/" + _SHORT)),
    ((b"if-none-match", b"*"),),
    ((b"if-none-match", b"*"), (b"if-none-match", b"*")),
    ((b"if-none-match", b""),),
    ((b"if-none-match", b"\xe9"),),
    ((b"if-match", _SHORT),),
    ((b"if-match", _BLOB_TAG),),
    ((b"if-match", b'"other"'),),
    ((b"if-match", b'W/"other"'), (b"if-match", _SHORT)),
    ((b"if-match", b"{"),),
    ((b"range", b"bytes=0-3"),),
    ((b"range", b"bytes=0-3,90-"),),
    ((b"range", b"bytes=-5"), (b"range", b"bytes=0-1")),
    ((b"range", b"bytes=200-"),),
    ((b"range", b"bytes=5-1"),),
    ((b"range", b"lines=1"),),
    ((b"range", b""),),
    ((b"range", b"bytes=0-3"), (b"if-range", _BLOB_TAG)),
    ((b"range", b"bytes=0-3"), (b"if-range", b" " + _BLOB_TAG + b" ")),
    ((b"range", b"bytes=0-3"), (b"if-range", b'"other"')),
    ((b"range", b"bytes=0-3"), (b"if-range", b"")),
    ((b"x-request-id", b"an-id/1"),),
    ((b"X-Request-ID", b"upper"),),
    ((b"x-request-id", b"first"), (b"x-request-id", b"second")),
    ((b"x-request-id", b"bad id"),),
    ((b"x-request-id", b"\xe4"),),
    ((b"x-request-id", b""),),
    ((b"x-request-id", b"x" * 129),),
    ((b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),),
    ((b"traceparent", b"00-" + b"0" * 32 + b"-" + b"b" * 16 + b"-01"),),
    ((b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"), (b"traceparent", b"x")),
    *_FORWARDED,
    ((b"transfer-encoding", b"chunked"),),
    ((b"Transfer-Encoding", b"CHUNKED"),),
    ((b"transfer-encoding", b""),),
    ((b"transfer-encoding", b"gzip, chunked"),),
    ((b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")),
    ((b"transfer-encoding", b"chunked"), (b"content-length", b"4")),
    ((b"transfer-encoding", b"identity"), (b"content-length", b"4")),
    ((b"content-length", b"4"),),
    ((b"content-length", b" 4\t"),),
    ((b"content-length", b"0"),),
    ((b"content-length", b"-4"),),
    ((b"content-length", b"+4"),),
    ((b"content-length", b"4_0"),),
    ((b"content-length", b"\xb2"),),
    ((b"content-length", b""),),
    ((b"content-length", b"9" * 30),),
    ((b"content-length", b"9" * 5000),),
    ((b"content-length", b"4"), (b"content-length", b"5")),
    ((b"Content-Length", b"99999999"),),
    ((b"content-range", b"0-3"), (b"content-length", b"4")),
    ((b"content-range", b"0-3"), (b"content-range", b"4-7")),
    ((b"content-range", b"2-5"),),
    ((b"content-range", b"5-2"),),
    ((b"content-range", b""),),
    ((b"content-type", b"application/json; charset=utf-8"),),
    ((b"content-type", b"application/x-www-form-urlencoded"),),
    ((b"content-type", b"text/plain"),),
    ((b"content-type", b" application/JSON"),),
    ((b"content-type", b""),),
    ((b"content-type", b"\xe4/\xff"),),
    ((b"content-type", b"application/json"), (b"content-type", b"text/plain")),
    ((b"expect", b"100-continue"),),
    ((b"connection", b"close"),),
    ((b"x-is-resource-name", b"true"),),
    ((b"x-\xe4\xdf", b"\xff"), (b"\xdf", b"")),
    ((b"remote-addr", b"10.0.0.1"),),
    ((b"cookie", b"a=b; c=d"), (b"accept", b"text/html"), (b"accept-encoding", b"gzip")),
    tuple((b"x-many", str(number).encode()) for number in range(101)),
    ((b"x-large", b"x" * 33_000),),
)
_HOSTS: tuple[tuple[bytes, ...], ...] = (
    (),
    (b"",),
    (b"a.test", b"b.test"),
    (b"[::1]:80",),
    (b"a b",),
    (b"h\xe4.test",),
    (b"UPPER.test",),
)


def requests() -> Iterator[Asked]:
    """All of them, in the order in which they are recorded."""
    for target in TARGETS:
        for method in _METHODS:
            yield Asked(method, target, (*_AUTHORIZED, *_length_of(method)), _BODIES.get(method, ()))
        yield Asked("GET", target)
        yield Asked("GET", target, http_version="2")
    yield Asked("CONNECT", "*")
    for headers in ODDITIES:
        for asked in _odd(headers):
            yield asked
            if b"authorization" not in {name.lower() for name, _ in headers}:
                yield replace(asked, headers=_AUTHORIZED + headers)
    yield from _others()
    yield from _draws()


def _odd(headers: Pairs) -> Iterator[Asked]:
    yield Asked("GET", f"{_V2}/manifests/latest", headers)
    yield Asked("GET", f"{_V2}/blobs/{BLOB_DIGEST}", headers)
    yield Asked("HEAD", f"{_V2}/blobs/{BLOB_DIGEST}", headers)
    yield Asked("PUT", f"{_V2}/manifests/new", headers, _BODIES["PUT"])
    yield Asked("PATCH", _UPLOAD, headers, _BODIES["PATCH"])
    yield Asked("PUT", f"{_UPLOAD}&digest={digest_of(b'body')}", headers, _BODIES["PATCH"])
    yield Asked("POST", "/service/token", headers, (b"grant_type=password&username=alice&password=open+sesame",))
    yield Asked("POST", "/api/v2.0/projects", headers, (b'{"project_name": 7}',))
    yield Asked("GET", "/healthz", headers)


def _others() -> Iterator[Asked]:
    """The version, the host, the peer, the query, and clients that leave."""
    manifest, upload = f"{_V2}/manifests/latest", _UPLOAD
    for version in ("1.0", "1.1", "2"):
        for hosts in _HOSTS:
            yield Asked("GET", manifest, http_version=version, hosts=hosts)
            yield Asked("GET", "/nothing", _AUTHORIZED, http_version=version, hosts=hosts)
    for peer in (None, PROXY, "::ffff:10.0.0.1", "fe80::1"):
        for headers in _FORWARDED:
            yield Asked("GET", manifest, headers, peer=peer)
            yield Asked("GET", "/v2/", headers, peer=peer)
    for query in ("?a=\xe4", "?n=", "?n=x&n=1", "?last=%00", "?n=1&last=a+b%20c", "?" + "x" * 17_000):
        yield Asked("GET", f"{_V2}/tags/list{query}", _AUTHORIZED)
        yield Asked("GET", f"/service/token{query}")
    yield Asked("GET", "/v2/t\xe4am/app/tags/list")
    for method, target in (("PATCH", upload), ("PUT", f"{_V2}/manifests/new"), ("POST", "/api/v2.0/projects")):
        length = ((b"content-length", b"40"), (b"content-type", b"application/json"))
        yield Asked(method, target, (*_AUTHORIZED, *length), (b"{", b"}"), leaves=True)
        yield Asked(method, target, (*_AUTHORIZED, *length), (b"{", b"}"), http_version="2", leaves=True)


def _draws() -> Iterator[Asked]:
    generator = random.Random(31)
    for _ in range(_DRAWS):
        headers = list(_AUTHORIZED) if generator.random() < 0.7 else []
        for pairs in generator.sample(ODDITIES, generator.randrange(1, 5)):
            headers += pairs
        if generator.random() < 0.3:
            generator.shuffle(headers)
        method = generator.choice(_METHODS)
        yield Asked(
            method,
            generator.choice(TARGETS),
            tuple(headers),
            _BODIES.get(method, ()) if generator.random() < 0.8 else (),
            http_version=generator.choice(["1.1", "1.1", "1.1", "2", "1.0"]),
            peer=generator.choice(["192.0.2.7", PROXY]),
        )


def _length_of(method: str) -> Pairs:
    body = b"".join(_BODIES.get(method, ()))
    return ((b"content-length", str(len(body)).encode()),) if body else ()
