"""Blobs over the wire: whole, in ranges, under conditions, and for clients that leave early."""

import email
import email.policy
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.harness.images import OCI_MANIFEST, digest_of
from tests.harness.installation import Installation, on_both_servers
from tests.harness.plain_http import NO_TLS
from tests.harness.raw_http import RawConnection, head_of
from tests.harness.repository import (
    EMPTY_CONFIG,
    EMPTY_MEDIA_TYPE,
    MakeRepository,
    Repository,
    descriptor,
    error_code,
    open_repository,
)
from tests.harness.workspace import Workspace

pytestmark = [pytest.mark.usefixtures("no_errors_logged"), on_both_servers]

SIZE = 300_000
CONTENT = random.Random(5).randbytes(SIZE)
DIGEST = digest_of(CONTENT)


@pytest.fixture(scope="module")
def held(workspace: Workspace) -> Iterator[Repository]:
    """A repository that holds `CONTENT`: nothing here changes it."""
    with open_repository(workspace.http_url, workspace.maintainer, f"{workspace.project}/held") as found:
        found.push_blob(CONTENT)
        yield found


def parts_of(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """The parts of a multipart/byteranges body, read by the standard library: their Content-Range, and their bytes."""
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content, policy=email.policy.HTTP)
    found = []
    for part in message.walk():
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            found.append((str(part["Content-Range"]), content))
    return found


def asked(held: Repository, ranges: str, **headers: str) -> httpx.Response:
    return held.blob(DIGEST, Range=ranges, **headers)


def test_a_blob_says_what_it_is_on_every_answer(held: Repository) -> None:
    answers = [
        held.blob(DIGEST),
        held.http.head(f"{held.path}/blobs/{DIGEST}"),
        asked(held, "bytes=0-0"),
        asked(held, "bytes=0-0,5-9"),
        asked(held, f"bytes={SIZE}-"),
        held.http.get(f"{held.path}/blobs/{DIGEST}", headers={"If-None-Match": f'"{DIGEST}"'}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 206, 206, 416, 304]
    assert {answer.headers["Docker-Content-Digest"] for answer in answers} == {DIGEST}
    assert {answer.headers["Docker-Distribution-Api-Version"] for answer in answers} == {"registry/2.0"}
    whole, head, *_, not_modified = answers
    assert whole.content == CONTENT
    assert (head.headers["Content-Length"], head.content) == (str(SIZE), b"")
    assert not_modified.content == b""


@pytest.mark.parametrize(
    ("ranges", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        (f"bytes=-{SIZE + 5}", 0, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        (f"bytes=7-{SIZE * 9}", 7, SIZE - 1),
        ("bytes=7-9223372036854775807", 7, SIZE - 1),
        ("bytes=7-18446744073709551616", 7, SIZE - 1),
        ("bytes=-18446744073709551616", 0, SIZE - 1),
        ("BYTES=10-19", 10, 19),
        ("bytes= 10-19", 10, 19),
        ("bytes=10-19,", 10, 19),
        (f"bytes=10-19,{SIZE}-", 10, 19),
    ],
)
def test_a_range_is_206_with_exactly_its_bytes(held: Repository, ranges: str, first: int, last: int) -> None:
    answer = asked(held, ranges)
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, f"bytes {first}-{last}/{SIZE}")
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.content == CONTENT[first : last + 1]


@pytest.mark.parametrize(
    "ranges",
    [
        f"bytes={SIZE}-",
        f"bytes={SIZE}-{SIZE + 5}",
        f"bytes={SIZE}-,{SIZE + 1}-",
        "bytes=18446744073709551616-",
        "bytes=5-4",
        "bytes=-0",
        "bytes=-",
        "bytes=",
        "bytes=-1-2",
        "bytes=--1",
        "bytes=1",
        "bytes=a-b",
        "bytes=0x0-0x1",
        "bytes=1.0-2.0",
        "bytes=1 - 2",
        "bytes=0-1;2-3",
        "bytes=0-1,x",
        "bytes=" + "9" * 5000 + "-",
    ],
)
def test_a_range_that_cannot_be_is_416_with_the_size(held: Repository, ranges: str) -> None:
    answer = asked(held, ranges)
    assert (answer.status_code, error_code(answer)) == (416, "RANGE_INVALID")
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("ranges", ["", "bytes", "0-1", "lines=0-1", "bytes:0-1"])
def test_what_is_no_range_of_bytes_gives_the_whole(held: Repository, ranges: str) -> None:
    answer = asked(held, ranges)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert "Content-Range" not in answer.headers


def test_a_range_of_nothing_is_416(repository: Repository) -> None:
    empty = repository.push_blob(b"")
    assert repository.blob(empty).headers["Content-Length"] == "0"
    assert repository.blob(empty, Range="bytes=0-0").status_code == 416


@pytest.mark.parametrize("count", [2, 8, 400])
def test_many_ranges_come_as_parts_and_a_few_in_the_order_asked_for(held: Repository, count: int) -> None:
    # podman's zstd:chunked asks for hundreds, the stargz snapshotter for many.
    starts = random.Random(count).sample(range(0, SIZE - 100, 100), count)
    wanted = [(start, start + 7) for start in starts]
    in_order = wanted if count <= 8 else sorted(wanted)
    answer = asked(held, "bytes=" + ",".join(f"{first}-{last}" for first, last in wanted))
    assert answer.status_code == 206
    assert answer.headers["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert "Content-Range" not in answer.headers
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert parts_of(answer) == [(f"bytes {first}-{last}/{SIZE}", CONTENT[first : last + 1]) for first, last in in_order]


def test_ranges_that_overlap_are_one_range(held: Repository) -> None:
    answer = asked(held, f"bytes=5-{SIZE},0-10")
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, f"bytes 0-{SIZE - 1}/{SIZE}")
    assert answer.content == CONTENT


def test_more_ranges_than_are_served_give_the_whole(held: Repository) -> None:
    answer = asked(held, "bytes=" + ",".join(f"{start}-{start}" for start in range(0, 6000, 5)))
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_a_range_that_is_one_after_all_comes_as_one(held: Repository) -> None:
    answer = asked(held, f"bytes=0-9,{SIZE}-,{SIZE + 5}-")
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, f"bytes 0-9/{SIZE}")


def test_parallel_ranges_make_the_blob(held: Repository) -> None:
    step = SIZE // 12
    with ThreadPoolExecutor(6) as pool:
        pieces = pool.map(lambda start: asked(held, f"bytes={start}-{start + step - 1}").content, range(0, SIZE, step))
        assert b"".join(pieces) == CONTENT


@pytest.mark.parametrize("ranges", ["bytes=0-9", f"bytes={SIZE}-", "bytes=0-9,20-29", "nonsense"])
def test_head_knows_no_range(held: Repository, ranges: str) -> None:
    answer = held.http.head(f"{held.path}/blobs/{DIGEST}", headers={"Range": ranges})
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(SIZE))


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("If-None-Match", f'"{DIGEST}"', 304),
        ("If-None-Match", DIGEST, 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", f'"other", W/"{DIGEST}"', 304),
        ("If-None-Match", '"other"', 206),
        ("If-Range", f'"{DIGEST}"', 206),
        ("If-Range", '"other"', 200),
        ("If-Range", f'W/"{DIGEST}"', 200),
        ("If-Range", "Wed, 21 Oct 2015 07:28:00 GMT", 200),
        ("If-Modified-Since", "Wed, 21 Oct 2035 07:28:00 GMT", 206),
    ],
)
def test_conditions_hold_for_ranges(held: Repository, header: str, value: str, status: int) -> None:
    answer = held.http.get(f"{held.path}/blobs/{DIGEST}", headers={"Range": "bytes=0-9", header: value})
    assert answer.status_code == status
    assert len(answer.content) == {200: SIZE, 206: 10, 304: 0}[status]


@pytest.mark.parametrize("encodings", ["gzip", "gzip, deflate, br, zstd", "*", "identity;q=0"])
def test_a_blob_is_never_encoded(held: Repository, encodings: str) -> None:
    answer = held.blob(DIGEST, **{"Accept-Encoding": encodings})
    assert "Content-Encoding" not in answer.headers
    assert (answer.headers["Content-Length"], answer.content) == (str(SIZE), CONTENT)


@pytest.mark.parametrize(
    ("media_type", "served"),
    [
        ("application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
        ("text/html", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("application/vnd.example.x", "application/vnd.example.x"),
    ],
)
def test_a_blob_has_a_content_type_that_no_browser_runs(repository: Repository, media_type: str, served: str) -> None:
    content = f"<script>{media_type}</script>".encode()
    repository.push_blob(EMPTY_CONFIG)
    repository.push_blob(content)
    manifest = httpx.Request("PUT", "http://x", json=repository.manifest(layers=[descriptor(content, media_type)]))
    assert repository.put("v1", manifest.content).status_code == 201
    answer = repository.blob(digest_of(content))
    assert answer.headers["Content-Type"] == served
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_deleted_blob_is_gone_with_the_next_request_and_only_there(
    repository: Repository, make_repository: MakeRepository
) -> None:
    other = make_repository()
    digest = repository.push_blob(b"in two places")
    other.push_blob(b"in two places")
    deleted = repository.http.delete(f"{repository.path}/blobs/{digest}")
    assert (deleted.status_code, deleted.content) == (202, b"")
    assert repository.blob(digest).status_code == 404
    assert error_code(repository.http.delete(f"{repository.path}/blobs/{digest}")) == "BLOB_UNKNOWN"
    assert other.blob(digest).content == b"in two places"


def test_a_manifest_is_no_blob_and_a_blob_no_manifest(repository: Repository) -> None:
    config = repository.push_blob(EMPTY_CONFIG)
    manifest = httpx.Request("PUT", "http://x", json=repository.manifest()).content
    repository.put("v1", manifest, OCI_MANIFEST)
    assert error_code(repository.blob(digest_of(manifest))) == "BLOB_UNKNOWN"
    assert error_code(repository.get(config)) == "MANIFEST_UNKNOWN"
    assert EMPTY_MEDIA_TYPE in repository.get("v1").text


@pytest.mark.parametrize(
    ("digest", "status", "code"),
    [
        (digest_of(b"nowhere"), 404, "BLOB_UNKNOWN"),
        ("sha512:" + "0" * 128, 404, "BLOB_UNKNOWN"),
        ("latest", 400, "DIGEST_INVALID"),
        ("sha256:" + "0" * 63, 400, "DIGEST_INVALID"),
        ("sha256:" + "0" * 9000, 400, "DIGEST_INVALID"),
        ("sha256:" + "F" * 64, 400, "DIGEST_INVALID"),
        ("sha1:" + "0" * 40, 400, "DIGEST_INVALID"),
        ("sha256%3A" + "0" * 64, 404, "BLOB_UNKNOWN"),
        ("sha256:" + "%30" * 64, 404, "BLOB_UNKNOWN"),
        ("sha256:" + "%2530" * 64, 400, "DIGEST_INVALID"),
        ("sha256:..", 400, "DIGEST_INVALID"),
        ("..%2f..%2f..%2fetc%2fpasswd", 404, "NAME_UNKNOWN"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_blob_that_is_not_there_or_cannot_be_is_refused(
    repository: Repository, method: str, digest: str, status: int, code: str
) -> None:
    answer = repository.raw(method, f"{repository.path}/blobs/{digest}")
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize("headers", [{}, {"Connection": "keep-alive"}])
def test_http_1_0_gets_a_blob_with_its_length_and_the_end_of_the_connection(
    installation: Installation, held: Repository, headers: dict[str, str]
) -> None:
    with held.connect() as connection:
        pairs = [("Authorization", f"Bearer {held.token}"), *headers.items()]
        connection.send(head_of("GET", f"{held.path}/blobs/{DIGEST}", pairs, "HTTP/1.0"))
        answer = connection.read()
        assert (answer.body, answer.headers["content-length"]) == (CONTENT, str(SIZE))
        assert "transfer-encoding" not in answer.headers
        # A server may keep such a connection if it says so.
        is_kept = installation.server == "granian" and bool(headers)
        assert (answer.headers["connection"] == "keep-alive") if is_kept else connection.is_closed()


def test_a_client_that_leaves_in_the_middle_hurts_nobody(held: Repository, workspace: Workspace) -> None:
    for _ in range(10):
        with RawConnection(workspace.host) as connection:
            connection.send(head_of("GET", f"{held.path}/blobs/{DIGEST}", {"Authorization": f"Bearer {held.token}"}))
    with httpx.Client(base_url=workspace.http_url, verify=NO_TLS, trust_env=False) as client:
        answer = client.get(f"{held.path}/blobs/{DIGEST}", headers={"Authorization": f"Bearer {held.token}"})
        assert answer.content == CONTENT
