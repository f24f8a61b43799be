"""What no client should send: paths, methods, headers and connections that are tricks. Refused in the registry's own
form, never a fault, and the next client is served.
"""

import json
import random
import re
from urllib.parse import quote

import pytest

from tests.harness import plain_http
from tests.harness.images import digest_of
from tests.harness.installation import Installation, on_both_servers
from tests.harness.raw_http import RawAnswer, RawConnection, chunked, head_of
from tests.harness.repository import Repository, refuse_fault
from tests.harness.workspace import Workspace

pytestmark = [pytest.mark.usefixtures("no_errors_logged"), on_both_servers]

CODE = re.compile(r"[A-Z_]+")
ZEROS = "sha256:" + "0" * 64


def check_form(answer: RawAnswer) -> None:
    """A refusal reads as the distribution spec has it."""
    assert answer.headers["content-type"] == "application/json"
    document = json.loads(answer.body)
    assert list(document) == ["errors"]
    assert all(set(error) <= {"code", "message", "detail"} for error in document["errors"])
    assert CODE.fullmatch(answer.code)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v2/../v2/", 404, "NAME_UNKNOWN"),
        ("/v2//", 404, "NAME_UNKNOWN"),
        ("/v2/.", 404, "NAME_UNKNOWN"),
        ("/v2/{project}", 404, "NAME_UNKNOWN"),
        ("/v2/{project}/x", 404, "NAME_UNKNOWN"),
        ("/v2/{project}/x/", 404, "NAME_UNKNOWN"),
        ("/v2/{project}/x/tags", 404, "NAME_UNKNOWN"),
        ("/v2/{project}/x/tags/list/", 404, "NAME_UNKNOWN"),
        ("/v2/{project}/x/blobs/", 404, "NAME_UNKNOWN"),
        ("/v2/{project}/x/referrers/", 404, "NAME_UNKNOWN"),
        ("/v2/_catalog/x", 404, "NAME_UNKNOWN"),
        ("/v2/{project}/x/blobs/uploads/a/b", 404, "NAME_UNKNOWN"),
        ("/v2/{project}/x/blobs/uploads/../../../secret", 404, "NAME_UNKNOWN"),
        ("/v2/{project}/x/blobs/uploads/%2e%2e", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("/v2/{project}/x/blobs/uploads/%F0%9F%92%A9", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("/v2/{project}/x/blobs/uploads/" + "u" * 5000, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("/v2/{project}/x/blobs/uploads/a%00", 400, "UNSUPPORTED"),
        ("/v2/{project}/../x/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/%2e%2e/x/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/%252e%252e/x/tags/list", 400, "NAME_INVALID"),
        ("/v2/%2e%2e/{project}/x/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/./x/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}//x/tags/list", 400, "NAME_INVALID"),
        ("/v2//{project}/x/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/x//tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/%20/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/x%5C..%5Cy/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/X/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/%C3%BC/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/%EF%BC%A1/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/%E2%80%AEx/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/a___b/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/a..b/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/-a/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/a-/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/a:b/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/a@b/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/a'%20OR%201=1--/tags/list", 400, "NAME_INVALID"),
        ("/v2/nginx/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/" + "x" * 250 + "/tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/" + "x/" * 1000 + "tags/list", 400, "NAME_INVALID"),
        ("/v2/{project}/x%00/tags/list", 400, "UNSUPPORTED"),
        ("/v2/{project}/x%0d%0aX-Evil:%201/tags/list", 400, "UNSUPPORTED"),
        ("/v2/{project}/x%7f/tags/list", 400, "UNSUPPORTED"),
        ("/v2/{project}/%ff/tags/list", 400, "UNSUPPORTED"),
        ("/v2/{project}/%c0%ae%c0%ae/tags/list", 400, "UNSUPPORTED"),
        ("/v2/{project}/%zz/tags/list", 400, "UNSUPPORTED"),
        ("/v2/{project}/%/tags/list", 400, "UNSUPPORTED"),
        ("/v2/{project}/x/tags/list?last=%00", 400, "UNSUPPORTED"),
        ("/v2/{project}/x/tags/list?%ff=1", 400, "UNSUPPORTED"),
        ("/v2/{project}/x/tags/list?" + "a=1&" * 5000, 414, "UNSUPPORTED"),
    ],
)
def test_a_path_that_is_a_trick_is_refused_in_the_registry_s_form(
    repository: Repository, workspace: Workspace, path: str, status: int, code: str
) -> None:
    answer = repository.raw("GET", path.replace("{project}", workspace.project))
    assert (answer.status, answer.code) == (status, code)
    check_form(answer)
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
    assert "x-evil" not in answer.headers


@pytest.mark.parametrize(
    "name",
    ["manifests", "blobs", "tags", "tags/list", "uploads", "blobs/uploads", "referrers", "_catalog/x", "a/manifests/b"],
)
def test_a_repository_may_be_called_as_the_paths_are(repository: Repository, workspace: Workspace, name: str) -> None:
    answer = repository.raw("GET", f"/v2/{workspace.project}/{name}/tags/list")
    expected = 400 if name.startswith("_") else 401
    assert answer.status == expected
    if expected == 401:
        assert f'scope="repository:{workspace.project}/{name}:pull"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "path", ["//v2/", "/V2/", "/v2x/", "/%76%32/", "/v1/", "/", "/v2%2F", "/..%2Fv2/", "*", "/index.html"]
)
def test_what_is_not_the_registry_is_404_and_says_so(repository: Repository, path: str) -> None:
    answer = repository.raw("GET", path)
    assert (answer.status, answer.code) == (404, "NOT_FOUND")
    assert "docker-distribution-api-version" not in answer.headers


PATHS = {
    "/v2/": "GET, HEAD",
    "/v2/_catalog": "GET, HEAD",
    "/v2/p/x/tags/list": "GET, HEAD",
    "/v2/p/x/manifests/v1": "GET, HEAD, PUT, DELETE",
    f"/v2/p/x/blobs/{ZEROS}": "GET, HEAD, DELETE",
    f"/v2/p/x/referrers/{ZEROS}": "GET, HEAD",
    "/v2/p/x/blobs/uploads/": "POST",
    "/v2/p/x/blobs/uploads/u": "GET, HEAD, PATCH, PUT, DELETE",
    "/service/token": "GET, HEAD, POST",
}


@pytest.mark.parametrize("path", PATHS)
def test_every_other_method_is_405_with_those_that_there_are(repository: Repository, path: str) -> None:
    allowed = PATHS[path]
    methods = [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "get",
        "X" * 90,
    ]
    for method in methods:
        if method.upper() in allowed:
            continue
        answer = repository.raw(method, path)
        code = "" if method == "HEAD" else "UNSUPPORTED"
        assert (answer.status, answer.code, answer.headers["allow"]) == (405, code, allowed), method


def test_every_answer_says_which_registry_and_which_request_it_is(repository: Repository) -> None:
    for method, path in (("GET", "/v2/"), ("HEAD", f"{repository.path}/tags/list"), ("PUT", "/v2/"), ("GET", "/v2/x")):
        for given, expected in (("my-id.1", "my-id.1"), ("a b", None), ("x" * 500, None), ("\xe9", None)):
            answer = repository.raw(method, path, {"X-Request-Id": given})
            assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
            found = answer.headers["x-request-id"]
            assert found == expected if expected else re.fullmatch(r"[0-9a-f]{32}", found)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: " + "x" * 40_000 + "\r\n\r\n", 431),
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: " + "x" * 300_000 + "\r\n\r\n", 431),
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\n" + "X: x\r\n" * 150 + "\r\n", 431),
        ("GET /v2/" + "x" * 50_000 + " HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        ("GET /v2/?" + "x" * 20_000 + " HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\nX\0: x\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\nX : x\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET /v2/\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v2/ x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET  /v2/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET\t/v2/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("G(T /v2/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v2/\r\n\r\n", 400),
        ("GET /v2/ HTTP/1.1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v2/ FTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        ("POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        ("POST /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    ],
)
def test_a_head_that_is_none_is_refused_and_ends_the_connection(
    installation: Installation, workspace: Workspace, head: str, status: int
) -> None:
    if installation.server == "granian" and "Transfer-Encoding" in head:
        # hyper knows no status but 400 for an unknown coding. Of two lengths, it takes the chunks (RFC 9112 §6.3), and
        # POST is no method of /v2/.
        status = 405 if "Content-Length" in head else 400
    with RawConnection(workspace.host) as connection:
        connection.send(head)
        try:
            answer = connection.read()
        except ConnectionResetError:
            # It has said so, and closed while the rest was still being sent.
            assert status == 431
            return
        assert answer.status == status
        if status in {400, 431, 501} and "connection" in answer.headers:
            assert connection.is_closed()


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.3, HTTP/1.1"])
def test_a_connection_stays_http_whatever_it_is_to_become(workspace: Workspace, protocol: str) -> None:
    headers = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": protocol,
        "HTTP2-Settings": "AAMAAABkAAQAAP__",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    with RawConnection(workspace.host) as connection:
        for path in ("/v2/", "/api/v2.0/projects", "/"):
            answer = connection.request("GET", path, headers)
            assert answer.status in {200, 401, 404}
            assert answer.headers["content-type"] == "application/json"
        assert connection.request("GET", "/healthz").body == b"ok\n"


def test_requests_in_one_segment_are_answered_in_their_order(repository: Repository) -> None:
    authorization = [("Authorization", f"Bearer {repository.token}")]
    wanted = [("GET", "/v2/", 200), ("HEAD", "/v2/", 200), ("GET", "/v2/x", 404), ("PUT", "/v2/", 405)] * 5
    with repository.connect() as connection:
        connection.send(b"".join(head_of(method, path, authorization) for method, path, _ in wanted))
        assert [connection.read(method).status for method, _, _ in wanted] == [status for *_, status in wanted]


def test_a_request_hidden_in_another_s_body_is_never_served(installation: Installation, repository: Repository) -> None:
    location = repository.begin()
    hidden = head_of("DELETE", location, {"Authorization": f"Bearer {repository.token}"})
    with repository.connect() as connection:
        headers = [("Authorization", f"Bearer {repository.token}"), ("Content-Length", str(len(hidden)))]
        connection.send(head_of("GET", "/v2/", headers) + hidden)
        assert connection.read().status == 200
        # What was not read is not taken for a request: it is dropped, or the connection ends with the answer.
        if installation.server == "granian":
            assert connection.request("GET", "/v2/missing").status == 404
        else:
            assert connection.is_closed()
    assert repository.http.get(location).status_code == 204


def test_a_body_where_none_belongs_changes_nothing(repository: Repository) -> None:
    for method in ("GET", "DELETE", "HEAD"):
        answer = repository.raw(
            method, f"{repository.path}/manifests/none", {"Transfer-Encoding": "chunked"}, chunked(b"x")
        )
        assert answer.status == 404


def test_whoever_hangs_up_at_any_byte_hurts_nobody(repository: Repository) -> None:
    content = b"c" * 3000
    target = f"{repository.path}/blobs/uploads/?digest={digest_of(content)}"
    headers = {"Authorization": f"Bearer {repository.token}", "Content-Length": "3000"}
    whole = head_of("POST", target, headers) + content
    for cut in (0, 1, 10, len(whole) - 3000 - 2, len(whole) - 3000, len(whole) - 2999, len(whole) - 1):
        with repository.connect() as connection:
            connection.send(whole[:cut])
    assert repository.blob(digest_of(content)).status_code == 404
    repository.push_blob(content)


def test_ten_thousand_slashes_and_other_floods_are_quick(repository: Repository) -> None:
    for path in (
        "/v2" + "/" * 10_000,
        "/v2/" + "%2F" * 5000,
        "/v2/" + "a/" * 5000 + "tags/list",
        "/v2/" + "/manifests" * 1000,
    ):
        assert repository.raw("GET", path).status in {400, 404}


WORDS = ["v2", "{project}", "x", "..", ".", "", "%2e", "%00", "%ff", "manifests", "blobs", "uploads", "tags", "list"]
WORDS += [
    "referrers",
    "_catalog",
    ZEROS,
    "sha512:",
    "latest",
    "%F0%9F%92%A9",
    "a" * 300,
    "*",
    "~",
    "?",
    "#",
    ";",
    "&n=1",
]
VALUES = ["", "0", "-1", "9" * 40, "bytes=0-", "0-4", "*", '"x"', "\xff", "a,b", "none", "chunked", "application/json"]
HEADERS = [
    "Range",
    "Content-Range",
    "If-Match",
    "If-None-Match",
    "If-Range",
    "Content-Type",
    "Accept",
    "Expect",
    "Origin",
]
HEADERS += ["Accept-Encoding", "Cookie", "X-Forwarded-For", "X-Request-Id", "Traceparent", "X-Is-Resource-Name"]
QUERIES = [
    "n",
    "last",
    "digest",
    "mount",
    "from",
    "tag",
    "artifactType",
    "_state",
    "page_token",
    "digest-algorithm",
    "ns",
]


@pytest.mark.parametrize("seed", range(4))
def test_requests_of_pieces_thrown_together_are_refused_and_never_a_fault(
    repository: Repository, installation: Installation, workspace: Workspace, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        segments = [chance.choice(WORDS) for _ in range(chance.randrange(7))]
        path = "/".join([chance.choice(["/v2", "/api/v2.0/projects", "/service/token"]), *segments])
        pairs = [(chance.choice(QUERIES), chance.choice([*VALUES, *WORDS])) for _ in range(chance.randrange(4))]
        query = "&".join(f"{name}={quote(value, safe='%')}" for name, value in pairs)
        target = f"{path.replace('{project}', workspace.project)}?{query}".replace("#", "%23")
        headers = [(chance.choice(HEADERS), chance.choice(VALUES)) for _ in range(chance.randrange(4))]
        method = chance.choice(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
        body = chance.randbytes(chance.choice([0, 0, 1, 500]))
        answer = RawAnswer(0, {}, b"")
        with repository.connect() as connection:
            length = ("Content-Length", str(len(body)))
            authorization = ("Authorization", f"Bearer {repository.token}")
            connection.send(head_of(method, target, [authorization, length, *headers]) + body)
            answer = connection.read(method)
        refuse_fault(answer.status, f"{method} {target} {headers}")
        if answer.status >= 400 and answer.body:
            check_form(answer)
    assert plain_http.get(f"{installation.http_url}/readyz").status_code == 200
