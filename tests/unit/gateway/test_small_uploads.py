"""Small bodies go to blobsvc in one message, and what was learnt on the way is not asked for again."""

import json
from collections.abc import AsyncIterator

import pytest

from svckit.errors import error_for
from tests.harness.stand_ins.authsvc import PROJECT_ID
from tests.unit.gateway.conftest import REPOSITORY, House, digest_of

UPLOADS = f"/v2/{REPOSITORY}/blobs/uploads/"
SMALLEST_LARGE = 64 * 1024 + 1
CONFIG = json.dumps({"os": "linux", "architecture": "arm64"}).encode()
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


async def begin(house: House) -> str:
    return str((await house.http.post(UPLOADS, headers=house.bearer())).headers["Location"])


def closing(location: str, content: bytes) -> str:
    return f"{location}&digest={digest_of(content)}"


async def push_by_patch(house: House, content: bytes) -> None:
    patched = await house.http.patch(await begin(house), content=content, headers=house.bearer())
    assert (patched.status_code, patched.headers["Range"]) == (202, f"0-{len(content) - 1}")
    closed = await house.http.put(closing(patched.headers["Location"], content), headers=house.bearer())
    assert closed.status_code == 201


async def put_manifest(house: House, config: bytes) -> bytes:
    """Puts a manifest, and gives the config that metasvc got with it."""
    document = {"config": {"digest": digest_of(config)}, "layers": [{"digest": digest_of(b"layer")}]}
    path = f"/v2/{REPOSITORY}/manifests/v1"
    headers = {**house.bearer(), "Content-Type": MANIFEST_TYPE}
    assert (await house.http.put(path, content=json.dumps(document), headers=headers)).status_code == 201
    return house.metasvc.puts[-1].config


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_patch_is_one_message_or_a_stream_for_an_older_blobsvc(house: House, is_known: bool) -> None:
    house.blobsvc.knows_append = is_known
    await push_by_patch(house, b"layer")
    assert house.blobsvc.blobs == {digest_of(b"layer"): b"layer"}
    assert (house.blobsvc.appended, house.blobsvc.streamed) == (([""], 0) if is_known else ([], 1))


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_closing_put_with_a_body_is_one_call(house: House, is_known: bool) -> None:
    house.blobsvc.knows_append = is_known
    answer = await house.http.put(closing(await begin(house), b"layer"), content=b"layer", headers=house.bearer())
    assert answer.status_code == 201
    assert house.metasvc.links[REPOSITORY, digest_of(b"layer")] == 5
    assert (house.blobsvc.appended, house.blobsvc.streamed) == (([digest_of(b"layer")], 0) if is_known else ([], 1))


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_post_of_a_whole_blob_is_one_call_after_its_start(house: House, is_known: bool) -> None:
    house.blobsvc.knows_append = is_known
    path = f"{UPLOADS}?digest={digest_of(b'layer')}"
    assert (await house.http.post(path, content=b"layer", headers=house.bearer())).status_code == 201
    assert house.blobsvc.blobs == {digest_of(b"layer"): b"layer"}
    assert (house.blobsvc.appended, house.blobsvc.streamed) == (([digest_of(b"layer")], 0) if is_known else ([], 1))


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_closing_put_with_a_body_can_be_repeated(house: House, is_known: bool) -> None:
    house.blobsvc.knows_append = is_known
    path = closing(await begin(house), b"layer")
    for _ in range(2):
        answer = await house.http.put(path, content=b"layer", headers=house.bearer())
        assert (answer.status_code, answer.headers["Docker-Content-Digest"]) == (201, digest_of(b"layer"))


async def test_a_large_body_and_one_without_a_size_are_streams(house: House) -> None:
    await push_by_patch(house, bytes(SMALLEST_LARGE))

    async def pieces() -> AsyncIterator[bytes]:
        yield b"layer"

    path = closing(await begin(house), b"layer")
    assert (await house.http.put(path, content=pieces(), headers=house.bearer())).status_code == 201
    assert (house.blobsvc.appended, house.blobsvc.streamed) == ([], 2)
    await push_by_patch(house, bytes(SMALLEST_LARGE - 1))
    assert (house.blobsvc.appended, house.blobsvc.streamed) == ([""], 2)


async def test_a_closing_put_at_a_wrong_offset_says_where_to_go_on(house: House) -> None:
    headers = {**house.bearer(), "Content-Range": "3-7"}
    answer = await house.http.put(closing(await begin(house), b"layer"), content=b"layer", headers=headers)
    assert (answer.status_code, answer.headers["Range"]) == (416, "0-0")


@pytest.mark.parametrize("way", ["patch", "put", "post"])
async def test_metasvc_gets_the_config_that_was_carried_before(house: House, way: str) -> None:
    await push_by_patch(house, b"layer")
    if way == "patch":
        await push_by_patch(house, CONFIG)
    elif way == "put":
        path = closing(await begin(house), CONFIG)
        assert (await house.http.put(path, content=CONFIG, headers=house.bearer())).status_code == 201
    else:
        path = f"{UPLOADS}?digest={digest_of(CONFIG)}"
        assert (await house.http.post(path, content=CONFIG, headers=house.bearer())).status_code == 201
    assert await put_manifest(house, CONFIG) == CONFIG
    assert await put_manifest(house, b"another") == b""


async def test_bytes_that_are_a_part_of_a_blob_are_not_taken_for_the_whole(house: House) -> None:
    location = await begin(house)
    for part in (CONFIG[:10], CONFIG[10:]):
        location = (await house.http.patch(location, content=part, headers=house.bearer())).headers["Location"]
    assert (await house.http.put(closing(location, CONFIG), headers=house.bearer())).status_code == 201
    assert await put_manifest(house, CONFIG) == b""


async def test_a_stream_after_a_message_makes_it_a_part(house: House) -> None:
    content = CONFIG + bytes(SMALLEST_LARGE)
    location = await begin(house)
    for part in (CONFIG, bytes(SMALLEST_LARGE)):
        location = (await house.http.patch(location, content=part, headers=house.bearer())).headers["Location"]
    assert (await house.http.put(closing(location, content), headers=house.bearer())).status_code == 201
    assert await put_manifest(house, content) == b""


async def test_what_was_allowed_is_not_asked_for_again(house: House) -> None:
    house.metasvc.quota_bytes = house.metasvc.allowed_size_bytes = 1000
    for size in (5, 900, 1000):
        await push_by_patch(house, bytes(size))
    assert house.metasvc.checked_sizes == [(PROJECT_ID, 5)]


async def test_an_older_metasvc_allows_what_it_was_asked_for(house: House) -> None:
    house.metasvc.quota_bytes = 1000
    for size in (500, 400, 600, 550):
        await push_by_patch(house, bytes(size))
    assert house.metasvc.checked_sizes == [(PROJECT_ID, 500), (PROJECT_ID, 600)]


async def test_nothing_is_refused_by_what_is_remembered(house: House) -> None:
    house.metasvc.quota_bytes = house.metasvc.allowed_size_bytes = 10
    await push_by_patch(house, bytes(10))
    refused = await house.http.patch(await begin(house), content=bytes(11), headers=house.bearer())
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "DENIED")
    # The limit is raised, and that is of use at once.
    house.metasvc.quota_bytes = 11
    await push_by_patch(house, bytes(11))


async def test_a_failed_question_is_asked_again(house: House) -> None:
    house.metasvc.failure = error_for("UNAVAILABLE")
    location = await begin(house)
    for part in (b"one", b"two"):
        patched = await house.http.patch(location, content=part, headers=house.bearer())
        assert patched.status_code == 202
        location = patched.headers["Location"]
    house.metasvc.failure = None
    await house.http.patch(location, content=b"three", headers=house.bearer())
    assert house.metasvc.checked_sizes == [(PROJECT_ID, 5)]
