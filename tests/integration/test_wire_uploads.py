"""Uploads over the wire: as the distribution spec has them, as clients do them, and as nobody should."""

import hashlib
import re

import httpx
import pytest

from tests.harness.images import digest_of
from tests.harness.installation import Installation, on_both_servers
from tests.harness.raw_http import chunked
from tests.harness.repository import MakeRepository, Repository, closing, error_code
from tests.harness.workspace import Management

pytestmark = [pytest.mark.usefixtures("no_errors_logged"), on_both_servers]

HELLO = b"hello"
UPLOAD_RANGE = re.compile(r"[0-9]+-[0-9]+")


def test_every_step_says_where_the_upload_is_and_how_far(repository: Repository) -> None:
    begun = repository.http.post(f"{repository.path}/blobs/uploads/")
    steps = [begun, repository.http.get(begun.headers["Location"]), repository.http.head(begun.headers["Location"])]
    for body in (HELLO, b" world"):
        steps.append(repository.http.patch(steps[-1].headers["Location"], content=body))
    steps.append(repository.http.get(steps[-1].headers["Location"]))
    assert [step.status_code for step in steps] == [202, 204, 204, 202, 202, 204]
    assert [step.headers["Range"] for step in steps] == ["0-0", "0-0", "0-0", "0-4", "0-10", "0-10"]
    for step in steps:
        # Relative: crane refuses another host, and a proxy's host is not ours to know.
        assert step.headers["Location"].startswith(f"{repository.path}/blobs/uploads/")
        assert step.headers["Docker-Upload-UUID"] in step.headers["Location"]
        assert step.content == b""
    repository.finish(steps[-1].headers["Location"], b"hello world")


def test_a_blob_of_nothing_is_one(repository: Repository) -> None:
    repository.finish(repository.begin(), b"")
    repository.push_blob(b"")


@pytest.mark.parametrize("path", ["blobs/uploads/", "blobs/uploads"])
def test_an_upload_begins_with_and_without_the_last_slash(repository: Repository, path: str) -> None:
    assert repository.http.post(f"{repository.path}/{path}").status_code == 202


@pytest.mark.parametrize(
    ("content_range", "status", "code"),
    [
        ("0-4", 202, ""),
        (" 0-4 ", 202, ""),
        ("00-04", 202, ""),
        ("5-9", 416, "RANGE_INVALID"),
        ("4-0", 416, "RANGE_INVALID"),
        ("9223372036854775800-9223372036854775804", 416, "RANGE_INVALID"),
        ("9223372036854775807-9223372036854775811", 416, "RANGE_INVALID"),
        ("0-3", 400, "SIZE_INVALID"),
        ("0-5", 400, "SIZE_INVALID"),
        ("0-9223372036854775806", 400, "SIZE_INVALID"),
        ("0-99999999999999999999", 400, "BLOB_UPLOAD_INVALID"),
        ("-1-4", 400, "BLOB_UPLOAD_INVALID"),
        ("-5--1", 400, "BLOB_UPLOAD_INVALID"),
        ("bytes 0-4/5", 400, "BLOB_UPLOAD_INVALID"),
        ("bytes=0-4", 400, "BLOB_UPLOAD_INVALID"),
        ("0-", 400, "BLOB_UPLOAD_INVALID"),
        ("-4", 400, "BLOB_UPLOAD_INVALID"),
        ("0-4-8", 400, "BLOB_UPLOAD_INVALID"),
        ("0 - 4", 400, "BLOB_UPLOAD_INVALID"),
        ("0-4, 5-9", 400, "BLOB_UPLOAD_INVALID"),
        ("0x0-0x4", 400, "BLOB_UPLOAD_INVALID"),
        ("0.0-4.0", 400, "BLOB_UPLOAD_INVALID"),
        ("a-b", 400, "BLOB_UPLOAD_INVALID"),
        ("", 400, "BLOB_UPLOAD_INVALID"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_content_range_is_taken_at_its_word_or_refused_and_the_session_survives(
    repository: Repository, method: str, content_range: str, status: int, code: str
) -> None:
    location = repository.begin()
    target = location if method == "PATCH" else closing(location, digest_of(HELLO))
    answer = repository.raw(method, target, {"Content-Length": "5", "Content-Range": content_range}, HELLO)
    expected = 201 if (method, status) == ("PUT", 202) else status
    assert (answer.status, answer.code) == (expected, code), answer.body
    if status == 416:
        assert answer.headers["range"] == "0-0"
        assert answer.headers["location"].startswith(f"{repository.path}/blobs/uploads/")
    if code:
        assert repository.committed(location) == "0-0"
        repository.finish(location, HELLO, HELLO)


def test_two_content_ranges_are_none(repository: Repository) -> None:
    headers = [("Content-Length", "5"), ("Content-Range", "0-4"), ("Content-Range", "5-9")]
    answer = repository.raw("PATCH", repository.begin(), headers, HELLO)
    assert (answer.status, answer.code) == (400, "BLOB_UPLOAD_INVALID")


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("content_range", ["0-5", "3-8", "6-11"])
def test_a_chunk_out_of_order_is_416_with_the_whole_range_and_the_upload_goes_on_there(
    repository: Repository, method: str, content_range: str
) -> None:
    whole = HELLO + b" world"
    location = repository.begin()
    repository.http.patch(location, content=HELLO, headers={"Content-Range": "0-4"})
    target = location if method == "PATCH" else closing(location, digest_of(whole))
    refused = repository.http.request(method, target, content=b" world", headers={"Content-Range": content_range})
    assert (refused.status_code, error_code(refused)) == (416, "RANGE_INVALID")
    assert refused.headers["Range"] == "0-4"
    last = repository.http.put(
        closing(refused.headers["Location"], digest_of(whole)), content=b" world", headers={"Content-Range": "5-10"}
    )
    assert last.status_code == 201


@pytest.mark.parametrize(
    ("headers", "body", "statuses"),
    [
        ([("Content-Length", "5"), ("Content-Length", "5")], HELLO, {202, 400}),
        ([("Content-Length", "5, 5")], HELLO, {202, 400}),
        ([("Content-Length", "5"), ("Content-Length", "6")], HELLO, {400}),
        ([("Content-Length", "-5")], HELLO, {400}),
        ([("Content-Length", "+5")], HELLO, {400}),
        ([("Content-Length", "0x5")], HELLO, {400}),
        ([("Content-Length", "5.0")], HELLO, {400}),
        ([("Content-Length", "9" * 40)], HELLO, {400}),
        ([("Content-Length", "")], HELLO, {400}),
        ([("Content-Length", "5"), ("Transfer-Encoding", "chunked")], chunked(HELLO), {400}),
        ([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], chunked(HELLO), {400, 501}),
        ([("Transfer-Encoding", "gzip, chunked")], chunked(HELLO), {400, 501}),
        ([("Transfer-Encoding", "identity")], HELLO, {400, 501}),
        ([("Transfer-Encoding", "chunked")], b"zz\r\nhello\r\n0\r\n\r\n", {400}),
        ([("Transfer-Encoding", "chunked")], b"-5\r\nhello\r\n0\r\n\r\n", {400}),
        ([("Transfer-Encoding", "chunked")], b"0x5\r\nhello\r\n0\r\n\r\n", {400}),
        ([("Transfer-Encoding", "chunked")], b"5\r\nhelloX\r\n0\r\n\r\n", {400}),
        ([("Transfer-Encoding", "chunked")], b"F" * 60 + b"\r\nhello\r\n0\r\n\r\n", {400}),
    ],
)
def test_a_length_that_is_none_is_refused_and_never_a_fault(
    installation: Installation,
    repository: Repository,
    headers: list[tuple[str, str]],
    body: bytes,
    statuses: set[int],
) -> None:
    if installation.server == "granian" and len({name for name, _ in headers}) == 2:
        # hyper takes the chunks, and closes the connection after the answer (RFC 9112 §6.3).
        statuses = {202}
    location = repository.begin()
    answer = repository.raw("PATCH", location, headers, body)
    assert answer.status in statuses
    # What came before it broke may have been kept, and nothing but that.
    assert repository.committed(location) in {"0-0", "0-4"}


def test_a_chunk_may_carry_extensions_and_trailers(repository: Repository) -> None:
    location = repository.begin()
    body = b"5;name=value\r\nhello\r\n0\r\nX-Checksum: 1\r\n\r\n"
    assert repository.raw("PATCH", location, {"Transfer-Encoding": "chunked"}, body).status == 202
    repository.finish(location, HELLO)


def test_what_goes_beyond_the_announced_length_is_no_part_of_the_blob(repository: Repository) -> None:
    location = repository.begin()
    with repository.connect() as connection:
        headers = {"Authorization": f"Bearer {repository.token}", "Content-Length": "5"}
        first = connection.request("PATCH", location, headers, HELLO + b" and what was not announced\r\n")
        assert (first.status, first.headers["range"]) == (202, "0-4")
        # It reads as another request, which it is not.
        assert connection.read().status == 400
    repository.finish(location, HELLO)


@pytest.mark.parametrize(("content_range", "kept"), [("0-3", "0-0"), ("0-9", "0-4")])
def test_a_chunked_body_of_another_length_than_its_range_is_refused(
    repository: Repository, content_range: str, kept: str
) -> None:
    location = repository.begin()
    headers = {"Transfer-Encoding": "chunked", "Content-Range": content_range}
    answer = repository.raw("PATCH", location, headers, chunked(HELLO))
    assert (answer.status, answer.code) == (400, "SIZE_INVALID")
    assert repository.committed(location) == kept


def test_closing_twice_gives_the_blob_twice_and_with_another_digest_never(repository: Repository) -> None:
    location = repository.begin()
    repository.http.patch(location, content=HELLO)
    answers = [repository.http.put(closing(location, digest_of(HELLO))) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.headers["Location"] for answer in answers} == {f"{repository.path}/blobs/{digest_of(HELLO)}"}
    other = repository.http.put(closing(location, digest_of(b"other")))
    assert (other.status_code, error_code(other)) == (404, "BLOB_UPLOAD_UNKNOWN")
    for method in ("GET", "PATCH", "DELETE"):
        assert repository.http.request(method, location).status_code == 404


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "sha256:",
        "sha256:xyz",
        "sha256:" + "0" * 63,
        "sha256:" + "0" * 65,
        "sha256:" + "A" * 64,
        "SHA256:" + "0" * 64,
        "sha256-" + "0" * 64,
        "md5:" + "0" * 32,
        "sha512:" + "0" * 64,
        "sha256:..%2F..%2Fetc%2Fpasswd",
        "sha256:" + "0" * 64 + "%0A",
        "%F0%9F%92%A9",
        "0" * 64,
    ],
)
@pytest.mark.parametrize("step", ["PUT", "POST"])
def test_a_digest_that_is_none_is_400_digest_invalid(repository: Repository, step: str, digest: str) -> None:
    if step == "PUT":
        answer = repository.http.put(closing(repository.begin(), digest), content=HELLO)
    else:
        answer = repository.http.post(f"{repository.path}/blobs/uploads/?digest={digest}", content=HELLO)
    assert (answer.status_code, error_code(answer)) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("digest", [digest_of(b"something else"), "sha512:" + "0" * 128])
@pytest.mark.parametrize("step", ["PUT", "POST"])
def test_bytes_of_another_digest_are_400_and_stay_unknown(repository: Repository, step: str, digest: str) -> None:
    if step == "PUT":
        answer = repository.http.put(closing(repository.begin(), digest), content=HELLO)
    else:
        answer = repository.http.post(f"{repository.path}/blobs/uploads/?digest={digest}", content=HELLO)
    assert (answer.status_code, error_code(answer)) == (400, "DIGEST_INVALID")
    assert repository.blob(digest).status_code == 404
    assert repository.blob(digest_of(HELLO)).status_code == 404


@pytest.mark.parametrize("query", ["", "?digest-algorithm=sha512", "?digest-algorithm=sha256", "?digest-algorithm="])
def test_the_closing_digest_decides_whatever_was_announced(repository: Repository, query: str) -> None:
    content = b"hashed by 512 bits"
    digest = f"sha512:{hashlib.sha512(content).hexdigest()}"
    location = repository.begin(query)
    repository.http.patch(location, content=content)
    assert repository.http.put(closing(location, digest)).status_code == 201
    assert repository.blob(digest).content == content
    assert repository.blob(digest_of(content)).status_code == 404


def test_an_algorithm_that_is_not_served_is_400(repository: Repository) -> None:
    answer = repository.http.post(f"{repository.path}/blobs/uploads/?digest-algorithm=md5")
    assert (answer.status_code, error_code(answer)) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_one_post_takes_a_whole_blob(repository: Repository, algorithm: str) -> None:
    digest = repository.push_blob(HELLO, algorithm)
    found = repository.blob(digest)
    assert (found.content, found.headers["Docker-Content-Digest"]) == (HELLO, digest)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "kind", ["nobody's", "cancelled", "of another repository", "with another's ticket", "no ticket"]
)
def test_an_unknown_session_is_404_blob_upload_unknown(
    repository: Repository, make_repository: MakeRepository, method: str, kind: str
) -> None:
    location = repository.begin()
    session = location.partition("?")[0].rpartition("/")[2]
    if kind == "cancelled":
        assert repository.http.delete(location).status_code == 204
    elif kind == "of another repository":
        location = location.replace(repository.path, make_repository().path)
    elif kind == "with another's ticket":
        location = location.replace(session, repository.begin().partition("?")[0].rpartition("/")[2])
    elif kind == "no ticket":
        location = location.partition("?")[0]
    else:
        location = f"{repository.path}/blobs/uploads/{'0' * 32}"
    query = {"digest": digest_of(HELLO)} if method == "PUT" else {}
    answer = repository.http.request(method, httpx.URL(location).copy_merge_params(query))
    assert answer.status_code == 404
    assert method == "HEAD" or error_code(answer) == "BLOB_UPLOAD_UNKNOWN"


def test_a_session_is_cancelled_by_delete(repository: Repository) -> None:
    location = repository.begin()
    repository.http.patch(location, content=HELLO)
    assert [repository.http.delete(location).status_code for _ in range(2)] == [204, 404]


def test_quota_is_refused_with_403_and_a_deletion_makes_room(
    management: Management, make_repository: MakeRepository
) -> None:
    # 4xx, since docker tries 5xx again.
    full = make_repository(project=management.create_project(storage_limit=1000), login=management.admin)
    first = full.push_blob(b"a" * 600)
    location = full.begin()
    full.http.patch(location, content=b"b" * 600)
    refused = full.http.put(closing(location, digest_of(b"b" * 600)))
    assert (refused.status_code, error_code(refused)) == (403, "DENIED")
    assert full.blob(digest_of(b"b" * 600)).status_code == 404
    assert full.http.delete(f"{full.path}/blobs/{first}").status_code == 202
    full.push_blob(b"b" * 600)


def test_docker_begins_again_at_byte_0_in_a_session_of_its_own(repository: Repository) -> None:
    abandoned = repository.begin()
    repository.http.patch(abandoned, content=HELLO[:3])
    repository.finish(repository.begin(), HELLO, HELLO)
    assert repository.committed(abandoned) == "0-2"


def test_the_wrong_range_of_a_patch_is_never_written(repository: Repository) -> None:
    """Regctl compares the cumulative range with its own count at each step."""
    location = repository.begin()
    sent = 0
    for size in (1, 1000, 65536, 1_500_000, 7):
        body = b"x" * size
        answer = repository.http.patch(
            location, content=body, headers={"Content-Range": f"{sent}-{sent + size - 1}", "Content-Type": "x/y"}
        )
        sent += size
        assert (answer.status_code, answer.headers["Range"]) == (202, f"0-{sent - 1}")
        assert UPLOAD_RANGE.fullmatch(answer.headers["Range"])
        location = answer.headers["Location"]
    repository.finish(location, b"x" * sent)
