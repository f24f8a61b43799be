from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from svckit.errors import error_for
from tests.harness.stand_ins.authsvc import PROJECT_ID
from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse, digest_of

pytestmark = pytest.mark.parametrize(
    ("server", "placement"),
    [("hypercorn", "stream"), ("hypercorn", "file"), ("granian", "file")],
    indirect=True,
)

UPLOADS = f"/v2/{REPOSITORY}/blobs/uploads/"
CONTENT = b"layer " * 1000


@pytest.fixture
def placement(request: pytest.FixtureRequest) -> str:
    """The way of the bytes."""
    return str(request.param)


@pytest.fixture
async def house(make_house: MakeHouse, placement: str) -> House:
    """A gateway that sends bytes over the stream, and one that writes them into the staging file."""
    return await make_house(placement=placement, blob_file_min_bytes=0)


async def begin(house: House, query: str = "") -> str:
    answer = await house.http.post(UPLOADS + query, headers=house.bearer())
    assert answer.status_code == 202
    assert answer.headers["Range"] == "0-0"
    assert answer.headers["Content-Length"] == "0"
    location: str = answer.headers["Location"]
    # Relative: crane refuses another host that is a private address.
    assert location.startswith(UPLOADS)
    assert "OCI-Chunk-Min-Length" not in answer.headers
    return location


def closing(location: str, content: bytes, algorithm: str = "sha256") -> str:
    return f"{location}&digest={digest_of(content, algorithm)}"


async def test_docker_pushes_by_one_chunked_patch_and_an_empty_put(house: House) -> None:
    location = await begin(house)

    async def pieces() -> AsyncIterator[bytes]:
        yield CONTENT[:1000]
        yield CONTENT[1000:]

    patched = await house.http.patch(location, content=pieces(), headers=house.bearer())
    assert (patched.status_code, patched.headers["Range"]) == (202, f"0-{len(CONTENT) - 1}")
    closed = await house.http.put(closing(patched.headers["Location"], CONTENT), headers=house.bearer())
    assert closed.status_code == 201
    assert closed.headers["Location"] == f"/v2/{REPOSITORY}/blobs/{digest_of(CONTENT)}"
    assert closed.headers["Docker-Content-Digest"] == digest_of(CONTENT)
    assert house.metasvc.links[REPOSITORY, digest_of(CONTENT)] == len(CONTENT)


async def test_containerd_pushes_by_a_single_put(house: House) -> None:
    location = await begin(house)
    closed = await house.http.put(closing(location, CONTENT), content=CONTENT, headers=house.bearer())
    assert closed.status_code == 201
    assert house.blobsvc.blobs[digest_of(CONTENT)] == CONTENT


async def test_a_single_post_takes_the_whole_blob(house: House) -> None:
    digest = digest_of(CONTENT, "sha512")
    answer = await house.http.post(f"{UPLOADS}?digest={digest}", content=CONTENT, headers=house.bearer())
    assert answer.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == digest
    assert house.blobsvc.algorithms == ["sha512"]
    empty = await house.http.post(f"{UPLOADS}?digest={digest_of(b'')}", headers=house.bearer())
    assert empty.status_code == 201


async def test_chunks_go_where_they_say_and_the_status_tells_how_far_they_are(house: House) -> None:
    location = await begin(house)
    first, second = CONTENT[:4000], CONTENT[4000:]
    headers = {**house.bearer(), "Content-Range": "0-3999"}
    patched = await house.http.patch(location, content=first, headers=headers)
    assert (patched.status_code, patched.headers["Range"]) == (202, "0-3999")
    status = await house.http.get(patched.headers["Location"], headers=house.bearer())
    assert (status.status_code, status.headers["Range"]) == (204, "0-3999")
    assert "Content-Length" not in status.headers
    headers = {**house.bearer(), "Content-Range": f"4000-{len(CONTENT) - 1}"}
    closed = await house.http.put(closing(status.headers["Location"], CONTENT), content=second, headers=headers)
    assert closed.status_code == 201
    assert house.blobsvc.offsets == [0, 4000]


@pytest.mark.parametrize("content_range", ["500-599", "599-500"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_chunk_out_of_order_is_416_with_where_to_go_on(house: House, method: str, content_range: str) -> None:
    location = await begin(house)
    headers = {**house.bearer(), "Content-Range": "0-99"}
    await house.http.patch(location, content=CONTENT[:100], headers=headers)
    headers["Content-Range"] = content_range
    url = location if method == "PATCH" else closing(location, CONTENT)
    refused = await house.http.request(method, url, content=CONTENT[500:600], headers=headers)
    assert refused.status_code == 416
    assert refused.headers["Range"] == "0-99"
    status = await house.http.get(refused.headers["Location"], headers=house.bearer())
    assert (status.status_code, status.headers["Range"]) == (204, "0-99")


@pytest.mark.parametrize(
    ("content_range", "status", "code"),
    [
        ("bytes 0-99/100", 400, "BLOB_UPLOAD_INVALID"),
        ("0-", 400, "BLOB_UPLOAD_INVALID"),
        ("99-0", 416, "RANGE_INVALID"),
        ("0-49", 400, "SIZE_INVALID"),
        ("0-9223372036854775808", 416, "RANGE_INVALID"),
    ],
)
async def test_a_malformed_content_range_is_refused(house: House, content_range: str, status: int, code: str) -> None:
    location = await begin(house)
    headers = {**house.bearer(), "Content-Range": content_range}
    answer = await house.http.patch(location, content=CONTENT[:100], headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


async def test_two_content_ranges_are_refused_whichever_might_be_meant(house: House) -> None:
    location = await begin(house)
    headers = [*house.bearer().items(), ("Content-Range", "0-99"), ("Content-Range", "100-199")]
    answer = await house.http.patch(location, content=CONTENT[:100], headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "BLOB_UPLOAD_INVALID")


async def test_a_chunked_body_that_exceeds_its_content_range_is_cut_off(house: House) -> None:
    location = await begin(house)

    async def pieces() -> AsyncIterator[bytes]:
        yield CONTENT[:100]

    headers = {**house.bearer(), "Content-Range": "0-49"}
    answer = await house.http.patch(location, content=pieces(), headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "SIZE_INVALID")
    status = await house.http.get(location, headers=house.bearer())
    assert status.headers["Range"] == "0-0"


async def test_an_upload_goes_on_with_a_token_that_has_expired_since_it_began(house: House) -> None:
    expired = {"Authorization": f"Bearer {house.token((REPOSITORY, 'push'), expired_seconds=600)}"}
    begun = await begin(house)
    [upload_id] = house.blobsvc.uploads
    ticket = house.keyring.ticket(upload_id, REPOSITORY, project_id=PROJECT_ID, seconds_ago=1800)
    location = f"{begun.partition('?')[0]}?_state={ticket}"
    patched = await house.http.patch(location, content=b"x", headers=expired)
    assert patched.status_code == 202
    assert (await house.http.get(location, headers=expired)).headers["Range"] == "0-0"
    closed = await house.http.put(closing(location, b"xy"), content=b"y", headers=expired)
    assert closed.status_code == 201
    assert (await house.http.post(UPLOADS, headers=expired)).status_code == 401


STEPS = ("PATCH", "PUT", "GET", "HEAD", "DELETE")


@pytest.mark.parametrize("method", STEPS)
@pytest.mark.parametrize(
    ("who", "status", "error"),
    [
        ("nobody", 401, ""),
        ("malformed", 401, "invalid_token"),
        ("nonsense", 401, "invalid_token"),
        ("expired before", 401, "invalid_token"),
        ("anonymous", 401, "insufficient_scope"),
        ("pulls", 401, "insufficient_scope"),
        ("wrong password", 401, ""),
        ("another", 404, ""),
    ],
)
async def test_an_upload_goes_on_for_nobody_but_its_owner_and_no_body_is_read(
    house: House, method: str, who: str, status: int, error: str
) -> None:
    location = closing(await begin(house), b"x")
    authorization = {
        "malformed": "Digest x",
        "nonsense": "Bearer x.y.z",
        "expired before": f"Bearer {house.token((REPOSITORY, 'push'), expired_seconds=3600)}",
        "anonymous": f"Bearer {house.token(subject='anonymous')}",
        "pulls": f"Bearer {house.token((REPOSITORY, 'pull'))}",
        "wrong password": "Basic YWxpY2U6d3Jvbmc=",
        "another": f"Bearer {house.token((REPOSITORY, 'pull,push'), subject='user:8')}",
    }.get(who)
    reader, writer = await house.raw()
    head = f"{method} {location} HTTP/1.1\r\nHost: x\r\n"
    if authorization is not None:
        head += f"Authorization: {authorization}\r\n"
    if method in ("PATCH", "PUT"):
        # The body never comes. An answer shows that nobody waited for it.
        head += "Content-Length: 1000000\r\n"
    writer.write(f"{head}\r\n".encode())
    answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    writer.close()
    assert answer.startswith(f"http/1.1 {status}")
    if status == 401:
        assert f'scope="repository:{REPOSITORY}:pull,push"' in answer
        assert (f'error="{error}"' in answer) == bool(error)
    [upload] = house.blobsvc.uploads.values()
    assert not upload
    assert not house.metasvc.links


async def test_basic_credentials_go_on_with_an_upload(house: House) -> None:
    house.authsvc.allowed[REPOSITORY] = frozenset({"pull", "push"})
    alice = ("alice", "open sesame")
    location = (await house.http.post(UPLOADS, auth=alice)).headers["Location"]
    assert (await house.http.patch(location, content=b"x", auth=alice)).status_code == 202
    # The same caller with a token.
    token = house.bearer()
    assert (await house.http.get(location, headers=token)).status_code == 204
    assert (await house.http.put(closing(location, b"x"), auth=alice)).status_code == 201


async def test_without_a_ticket_there_is_no_upload(house: House) -> None:
    bare = f"{UPLOADS}some-upload"
    for method in ("PATCH", "PUT", "GET", "DELETE"):
        url = f"{bare}?digest={digest_of(b'')}"
        unknown = await house.http.request(method, url, headers=house.bearer())
        assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (404, "BLOB_UPLOAD_UNKNOWN")
        assert (await house.http.request(method, url)).status_code == 401


async def test_a_ticket_opens_no_other_upload_repository_or_forged_session(house: House) -> None:
    location = await begin(house)
    ticket = parse_qs(urlsplit(location).query)["_state"][0]
    for url in (
        f"{UPLOADS}another?_state={ticket}",
        location.replace(REPOSITORY, "team/other"),
        f"{UPLOADS}upload-1?_state={ticket}x",
        f"{UPLOADS}upload-1?_state=rubbish",
    ):
        answer = await house.http.patch(url, content=b"x", headers=house.bearer())
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "BLOB_UPLOAD_UNKNOWN")


async def test_a_cancelled_upload_is_gone(house: House) -> None:
    location = await begin(house)
    assert (await house.http.delete(location, headers=house.bearer())).status_code == 204
    assert (await house.http.get(location, headers=house.bearer())).status_code == 404
    assert (await house.http.delete(location, headers=house.bearer())).status_code == 404


@pytest.mark.parametrize("digest", [None, "sha256:abc", "md5:" + "0" * 32, digest_of(b"something else")])
async def test_a_closing_put_with_a_wrong_digest_or_none_is_400(house: House, digest: str | None) -> None:
    location = await begin(house)
    url = location if digest is None else f"{location}&digest={digest}"
    answer = await house.http.put(url, content=CONTENT, headers=house.bearer())
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")


async def test_closing_again_after_a_lost_answer_gives_the_same_blob(house: House) -> None:
    location = await begin(house)
    url = closing(location, CONTENT)
    for _ in range(2):
        closed = await house.http.put(url, content=CONTENT, headers=house.bearer())
        assert closed.status_code == 201


async def test_the_algorithm_of_the_digest_can_be_announced(house: House) -> None:
    await begin(house, "?digest-algorithm=sha512")
    assert house.blobsvc.algorithms == ["sha512"]
    refused = await house.http.post(f"{UPLOADS}?digest-algorithm=md5", headers=house.bearer())
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")


async def test_a_mount_gives_the_blob_where_it_can_and_a_session_whatever_prevents_it(house: House) -> None:
    digest = house.hold(CONTENT, "other/one")
    both = {"Authorization": f"Bearer {house.token((REPOSITORY, 'pull,push'), ('other/one', 'pull'))}"}
    mounted = await house.http.post(f"{UPLOADS}?mount={digest}&from=other/one&origin=x", headers=both)
    assert (mounted.status_code, mounted.headers["Docker-Content-Digest"]) == (201, digest)
    assert mounted.headers["Location"] == f"/v2/{REPOSITORY}/blobs/{digest}"
    for query in (
        f"?mount={digest_of(b'missing')}&from=other/one",
        f"?mount={digest}&from=Not%20A%20Name",
        "?mount=rubbish&from=other/one",
        "?mount=",
        f"?mount={digest_of(b'missing')}",
    ):
        await begin(house, query)


async def test_who_may_not_push_begins_nothing(house: House) -> None:
    for query in ("", f"?mount={digest_of(CONTENT)}&from=other/one", f"?digest={digest_of(CONTENT)}"):
        answer = await house.http.post(UPLOADS + query, content=b"", headers=house.bearer("pull"))
        assert answer.status_code == 401
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert house.blobsvc.uploads == {}


async def test_a_full_quota_is_403_denied(house: House) -> None:
    location = await begin(house)
    house.metasvc.failure = error_for("QUOTA_EXCEEDED", "the project would have 11 of 10 GiB")
    answer = await house.http.put(closing(location, CONTENT), content=CONTENT, headers=house.bearer())
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["code"] == "DENIED"
    assert "Retry-After" not in answer.headers


async def test_what_came_before_the_client_went_away_stays(house: House) -> None:
    location = await begin(house)
    _, writer = await house.raw()
    token = house.bearer()["Authorization"]
    head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 1000000\r\n\r\n"
    writer.write(head.encode() + b"x" * 70_000)
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    async def stored() -> str:
        return (await house.http.get(location, headers=house.bearer())).headers["Range"]

    await wait_until_async(stored, "what was sent to be stored", wanted=lambda seen: seen == "0-69999", seconds=10)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"Content-Length": "1001"}),
        ("PATCH", {"Content-Length": "1001"}),
        ("PATCH", {"Content-Length": "1", "Content-Range": "1000-1000"}),
        ("PATCH", {"Transfer-Encoding": "chunked", "Content-Range": "0-1000"}),
        ("PUT", {"Content-Length": "1001"}),
    ],
)
async def test_an_upload_that_says_it_is_larger_than_the_projects_limit_is_refused_and_no_body_is_read(
    house: House, method: str, headers: dict[str, str]
) -> None:
    house.metasvc.quota_bytes = 1000
    location = closing(f"{UPLOADS}?a=b" if method == "POST" else await begin(house), b"x")
    reader, writer = await house.raw()
    lines = {"Host": "x", **house.bearer(), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"{method} {location} HTTP/1.1\r\n{head}\r\n".encode())
    answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 403")
    assert house.metasvc.checked_sizes == [(PROJECT_ID, 1001)]
    assert not any(house.blobsvc.uploads.values())


async def test_the_size_of_an_upload_is_asked_about_when_it_is_said_and_never_twice(house: House) -> None:
    house.metasvc.quota_bytes = 1000
    location = await begin(house)
    assert (await house.http.patch(location, content=b"x" * 900, headers=house.bearer())).status_code == 202
    assert (await house.http.put(closing(location, b"x" * 900), headers=house.bearer())).status_code == 201
    assert house.metasvc.checked_sizes == [(PROJECT_ID, 900)]


async def test_an_upload_goes_on_while_metasvc_cannot_say_how_large_it_may_be(house: House) -> None:
    location = await begin(house)
    house.metasvc.failure = error_for("UNAVAILABLE")
    assert (await house.http.patch(location, content=b"x", headers=house.bearer())).status_code == 202
