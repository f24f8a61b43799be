"""Uploads over the wire by clients that leave, race, mount, and write HTTP in other ways."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.harness.images import digest_of
from tests.harness.installation import on_both_servers
from tests.harness.plain_http import NO_TLS
from tests.harness.raw_http import RawAnswer, RawConnection, chunked, head_of
from tests.harness.repository import MakeRepository, Repository, closing, error_code
from tests.harness.waiting import wait_until
from tests.harness.workspace import Management, Workspace

pytestmark = [pytest.mark.usefixtures("no_errors_logged"), on_both_servers]

HELLO = b"hello"
UPLOAD_RANGE = re.compile(r"[0-9]+-[0-9]+")


def send_half(connection: RawConnection, repository: Repository, target: str, content: bytes, coding: str) -> None:
    half = content[: len(content) // 2]
    authorization = ("Authorization", f"Bearer {repository.token}")
    if coding == "length":
        length = ("Content-Length", str(len(content)))
        connection.send(head_of("PUT" if "digest=" in target else "PATCH", target, [authorization, length]) + half)
    else:
        head = head_of("PATCH", target, [authorization, ("Transfer-Encoding", "chunked")])
        connection.send(head + b"%x\r\n%s\r\n" % (len(half), half))


def wait_for_range(repository: Repository, location: str, wanted: str) -> None:
    """Waits until the services have noticed that a client is gone."""

    def stored() -> tuple[int, str]:
        answer = repository.http.get(location)
        return answer.status_code, answer.headers.get("Range", "")

    wait_until(stored, "what was sent to be stored", wanted=lambda seen: seen == (204, wanted))


@pytest.mark.parametrize(("method", "coding"), [("PATCH", "length"), ("PATCH", "chunked"), ("PUT", "length")])
def test_a_client_that_goes_away_in_the_middle_goes_on_where_it_was(
    repository: Repository, method: str, coding: str
) -> None:
    content = bytes(range(256)) * 8192
    half = len(content) // 2
    location = repository.begin()
    target = closing(location, digest_of(content)) if method == "PUT" else location
    with repository.connect() as connection:
        send_half(connection, repository, target, content, coding)
    wait_for_range(repository, location, f"0-{half - 1}")
    assert repository.blob(digest_of(content)).status_code == 404
    headers = {"Content-Range": f"{half}-{len(content) - 1}"}
    # What was sent is stored a moment before the writer that is gone lets go of the upload.
    rest = wait_until(
        lambda: repository.http.patch(location, content=content[half:], headers=headers),
        "the upload to be free",
        wanted=lambda answer: answer.status_code != 409,
    )
    assert rest.headers["Range"] == f"0-{len(content) - 1}"
    repository.finish(location, content)


def test_a_client_that_goes_away_in_a_single_post_leaves_no_blob(repository: Repository) -> None:
    content = b"never whole" * 1000
    target = f"{repository.path}/blobs/uploads/?digest={digest_of(content)}"
    with repository.connect() as connection:
        headers = [("Authorization", f"Bearer {repository.token}"), ("Content-Length", str(len(content)))]
        connection.send(head_of("POST", target, headers) + content[:100])
    assert repository.blob(digest_of(content)).status_code == 404
    assert repository.push_blob(content) == digest_of(content)


def test_of_writers_at_once_one_wins_and_the_others_hear_it(repository: Repository) -> None:
    location = repository.begin()
    size = 200_000

    def write(letter: bytes) -> httpx.Response:
        with httpx.Client(base_url=repository.http.base_url, timeout=30, verify=NO_TLS, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {repository.token}", "Content-Range": f"0-{size - 1}"}
            return client.patch(location, content=letter * size, headers=headers)

    with ThreadPoolExecutor(6) as pool:
        answers = dict(zip(b"abcdef", pool.map(write, [bytes([letter]) for letter in b"abcdef"]), strict=True))
    winners = [letter for letter, answer in answers.items() if answer.status_code == 202]
    assert len(winners) == 1
    losers = [answer for letter, answer in answers.items() if letter not in winners]
    assert {answer.status_code for answer in losers} <= {409, 416}
    assert all(answer.headers["Range"] == f"0-{size - 1}" for answer in losers if answer.status_code == 416)
    repository.finish(location, bytes(winners) * size)


def test_while_one_writes_another_may_look_and_not_write(repository: Repository) -> None:
    content = bytes(range(256)) * 10_000
    half = len(content) // 2
    location = repository.begin()
    with repository.connect() as connection:
        headers = [("Authorization", f"Bearer {repository.token}"), ("Content-Length", str(len(content)))]
        connection.send(head_of("PATCH", location, headers) + content[:half])
        while repository.committed(location) == "0-0":
            pass
        second = repository.http.patch(location, content=b"no")
        assert (second.status_code, error_code(second)) == (409, "BLOB_UPLOAD_INVALID")
        connection.send(content[half:])
        assert connection.read().headers["range"] == f"0-{len(content) - 1}"
    repository.finish(location, content)


def expect_continue(connection: RawConnection, authorization: tuple[str, str], location: str) -> RawAnswer:
    connection.send(head_of("PATCH", location, [authorization, ("Content-Length", "5"), ("Expect", "100-continue")]))
    interim = connection.read()
    assert interim.status == 100
    connection.send(HELLO)
    return connection.read()


def pipelined(connection: RawConnection, authorization: tuple[str, str], location: str) -> RawAnswer:
    """Everything at once, before the first answer."""
    connection.send(
        head_of("PATCH", location, [authorization, ("Content-Length", "2")])
        + b"he"
        + head_of("GET", location, [authorization])
        + head_of("PATCH", location, [authorization, ("Transfer-Encoding", "chunked")])
        + chunked(b"l", b"lo")
        + head_of("GET", location, [authorization])
    )
    answers = [connection.read() for _ in range(4)]
    assert [answer.status for answer in answers] == [202, 204, 202, 204]
    assert [answer.headers["range"] for answer in answers] == ["0-1", "0-1", "0-4", "0-4"]
    return answers[2]


def old_http(connection: RawConnection, authorization: tuple[str, str], location: str) -> RawAnswer:
    connection.send(head_of("PATCH", location, [authorization, ("Content-Length", "5")], "HTTP/1.0") + HELLO)
    answer = connection.read()
    assert connection.is_closed()
    return answer


@pytest.mark.parametrize("way", [expect_continue, pipelined, old_http])
def test_bytes_arrive_however_http_brings_them(
    repository: Repository, way: Callable[[RawConnection, tuple[str, str], str], RawAnswer]
) -> None:
    location = repository.begin()
    with repository.connect() as connection:
        answer = way(connection, ("Authorization", f"Bearer {repository.token}"), location)
    assert (answer.status, answer.headers["range"]) == (202, "0-4")
    repository.finish(location, HELLO)


def test_http2_needs_no_length(repository: Repository) -> None:
    content = b"of no announced length" * 100_000
    with httpx.Client(
        base_url=repository.http.base_url, http1=False, http2=True, timeout=30, verify=NO_TLS, trust_env=False
    ) as client:
        client.headers["Authorization"] = f"Bearer {repository.token}"
        location = client.post(f"{repository.path}/blobs/uploads/").headers["Location"]
        written = client.patch(location, content=iter([content[:1_000_000], content[1_000_000:]]))
        assert (written.http_version, written.status_code) == ("HTTP/2", 202)
        assert written.headers["Range"] == f"0-{len(content) - 1}"
        assert client.put(closing(location, digest_of(content))).status_code == 201
    assert repository.blob(digest_of(content)).content == content


def test_a_refusal_is_heard_before_the_body_is_sent_and_the_next_request_is_served(repository: Repository) -> None:
    unknown = f"{repository.path}/blobs/uploads/{'0' * 32}"
    with repository.connect() as connection:
        refused = connection.request("PATCH", unknown, {"Content-Length": "5", "Expect": "100-continue"})
        while refused.status == 100:
            refused = connection.read()
        assert (refused.status, json.loads(refused.body)["errors"][0]["code"]) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    "query",
    [
        "mount={digest}",  # jib leaves `from` out
        "mount={digest}&from={source}",
        "mount={digest}&from={source}&origin=https%3A%2F%2Fregistry.example.com",  # crane, kaniko
    ],
)
def test_a_mount_from_where_the_token_may_pull_gives_the_blob(
    repository: Repository, make_repository: MakeRepository, query: str
) -> None:
    digest = repository.push_blob(b"to be mounted")
    target = make_repository(f"repository:{repository.name}:pull")
    asked = query.format(digest=digest, source=repository.name)
    answer = target.http.post(f"{target.path}/blobs/uploads/?{asked}")
    assert (answer.status_code, answer.headers["Docker-Content-Digest"]) == (201, digest)
    assert answer.headers["Location"] == f"{target.path}/blobs/{digest}"
    assert target.blob(digest).content == b"to be mounted"


@pytest.mark.parametrize(
    "query",
    [
        "mount={digest}",
        "mount={digest}&from=",
        "mount={digest}&from={target}",
        "mount={digest}&from=Not/A/Name",
        "mount={digest}&from=noproject",
        "mount={digest}&from=..%2F..%2Fetc",
        "mount=" + "sha256:" + "0" * 64 + "&from={source}",
        "mount=sha256:nothing&from={source}",
        "mount=&from={source}",
    ],
)
def test_what_cannot_be_mounted_is_a_session_that_takes_the_blob(
    repository: Repository, make_repository: MakeRepository, query: str
) -> None:
    content = b"not to be mounted"
    digest = repository.push_blob(content)
    # A token that may pull from the source only where the query is what is wrong.
    scopes = [f"repository:{repository.name}:pull"] if "{source}" in query else []
    target = make_repository(*scopes)
    asked = query.format(digest=digest, source=repository.name, target=target.name)
    answer = target.http.post(f"{target.path}/blobs/uploads/?{asked}")
    assert (answer.status_code, answer.headers["Range"]) == (202, "0-0")
    assert target.blob(digest).status_code == 404
    target.finish(answer.headers["Location"], content, content)


def test_a_mount_from_a_project_that_is_closed_to_the_caller_is_a_session(
    management: Management, workspace: Workspace, make_repository: MakeRepository, repository: Repository
) -> None:
    source = make_repository(project=management.create_project(), login=management.admin)
    digest = source.push_blob(b"of others")
    target = make_repository(f"repository:{source.name}:pull")
    for query in (f"mount={digest}&from={source.name}", f"mount={digest}"):
        assert target.http.post(f"{target.path}/blobs/uploads/?{query}").status_code == 202
    # A token that was never asked for the source hears once which scopes to ask for.
    challenge = repository.http.post(f"{repository.path}/blobs/uploads/?mount={digest}&from={source.name}")
    assert challenge.status_code == 401
    wanted = f'scope="repository:{repository.name}:pull,push repository:{source.name}:pull"'
    assert wanted in challenge.headers["WWW-Authenticate"]
    assert repository.blob(digest).status_code == 404
