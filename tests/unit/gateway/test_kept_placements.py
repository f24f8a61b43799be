"""Blobs whose files blobsvc has named before: it is not asked again, and nothing is served that it would not serve."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse

CONTENT = random.Random(5).randbytes(100_003)
METHODS = ["GET", "HEAD"]
RANGES = ("bytes=0-9", "bytes=99999-", "bytes=0-9,50000-50009")


@pytest.fixture
async def house(make_house: MakeHouse) -> House:
    return await make_house(placement="file")


async def read(house: House, digest: str, method: str = "HEAD", **headers: str) -> httpx.Response:
    path = f"/v2/{REPOSITORY}/blobs/{digest}"
    return await house.http.request(method, path, headers=house.bearer("pull") | headers)


def check(answer: httpx.Response, method: str) -> None:
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(CONTENT)))
    assert answer.content == (CONTENT if method == "GET" else b"")


def held_generations(house: House) -> list[int]:
    """What the gateway said that it holds, read by read."""
    return [member.held_generation for batch in house.metasvc.batches for member in batch]


@pytest.mark.parametrize("first", METHODS)
async def test_blobsvc_names_a_file_once_and_metasvc_is_asked_each_time(house: House, first: str) -> None:
    digest = house.hold(CONTENT)

    for method in (first, *METHODS, *METHODS):
        check(await read(house, digest, method), method)
    for asked in RANGES:
        answer = await read(house, digest, "GET", Range=asked)
        assert (answer.status_code, CONTENT[:10] in answer.content) == (206, asked != "bytes=99999-")

    assert (len(house.blobsvc.located), house.blobsvc.reads) == (1, [])
    assert held_generations(house) == [0] + [1] * 7
    metrics = (await house.http.get("/metrics")).text
    assert 'http_blob_placements_total{source="named"} 1.0' in metrics
    assert 'http_blob_placements_total{source="kept"} 7.0' in metrics


async def test_without_a_folder_nothing_is_kept(make_house: MakeHouse) -> None:
    house = await make_house()
    digest = house.hold(CONTENT)
    for method in METHODS * 2:
        check(await read(house, digest, method), method)
    assert held_generations(house) == [0] * 4


def _deleted(house: House, file: Path) -> None:
    file.unlink()


def _shorter(house: House, file: Path) -> None:
    os.truncate(file, 5)


def _longer(house: House, file: Path) -> None:
    file.write_bytes(CONTENT + b"x")


def _other_file(house: House, file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(bytes(len(CONTENT)))
    other.rename(file)


def _link(house: House, file: Path) -> None:
    file.symlink_to(file.rename(file.with_name("kept")))


def _folder(house: House, file: Path) -> None:
    file.unlink()
    file.mkdir()


def _other_store(house: House, file: Path) -> None:
    (house.folder / "store" / "store-id").write_text("another\n")


def _unmounted(house: House, file: Path) -> None:
    (house.folder / "store").rename(house.folder / "away")
    (house.folder / "store").mkdir()


CHANGES = [_deleted, _shorter, _longer, _other_file, _link, _folder, _other_store, _unmounted]


@pytest.mark.parametrize("first", METHODS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("change", CHANGES)
async def test_damage_after_the_first_read_is_found_by_blobsvc_and_reported(
    house: House, first: str, method: str, change: Callable[[House, Path], None]
) -> None:
    digest = house.hold(CONTENT)
    check(await read(house, digest, first), first)
    [file] = house.blobsvc.located
    change(house, file)
    house.blobsvc.damaged.add(digest)

    answer = await read(house, digest, method)

    assert answer.status_code == 404
    assert house.metasvc.findings == [digest]
    # Of the first read; then of the kept placement, of the grant that blobsvc looks by, and after the quarantine.
    assert held_generations(house) == [0, 1, 0, 0]


@pytest.mark.parametrize("method", METHODS)
async def test_a_file_that_was_put_back_as_another_one_is_read_and_kept_from_then_on(house: House, method: str) -> None:
    digest = house.hold(CONTENT)
    await read(house, digest)
    # As a restored backup: blobsvc names the file again, with its new inode.
    _other_file(house, house.blobsvc.located[0])

    for _ in range(3):
        check(await read(house, digest, method), method)

    assert len(house.blobsvc.located) == 2
    assert held_generations(house) == [0, 1, 0, 1, 1]


@pytest.mark.parametrize("change", [_other_store, _other_file])
async def test_bytes_come_over_the_stream_if_the_file_is_never_the_one_that_was_named(
    house: House, change: Callable[[House, Path], None]
) -> None:
    digest = house.hold(CONTENT)
    await read(house, digest)
    change(house, house.blobsvc.located[0])
    house.blobsvc.after_locating = lambda file: change(house, file)

    ranges = await read(house, digest, "GET", Range="bytes=0-9,50000-50009")
    assert (ranges.status_code, house.blobsvc.reads) == (206, [(0, 50010)])
    check(await read(house, digest, "GET"), "GET")
    assert house.blobsvc.reads[1:] == [(0, len(CONTENT))]
    for _ in range(2):
        check(await read(house, digest), "HEAD")

    # Nothing is kept that was not found in the folder, so each read asks blobsvc once.
    assert len(house.blobsvc.located) == 5
    assert held_generations(house)[-3:] == [0, 0, 0]


@pytest.mark.parametrize("method", METHODS)
async def test_another_generation_has_another_file(house: House, method: str) -> None:
    digest = house.hold(CONTENT)
    await read(house, digest)
    house.metasvc.generation = 2

    for _ in range(2):
        check(await read(house, digest, method), method)

    assert len(house.blobsvc.located) == 2
    assert held_generations(house) == [0, 1, 2]


@pytest.mark.parametrize("method", METHODS)
async def test_a_placement_of_another_size_than_that_of_the_blob_is_not_used(house: House, method: str) -> None:
    """As after a damage to metasvc's rows. blobsvc compares the grant with the file."""
    digest = house.hold(CONTENT)
    await read(house, digest)
    house.metasvc.links[REPOSITORY, digest] += 1
    house.blobsvc.damaged.add(digest)

    assert (await read(house, digest, method)).status_code == 404

    assert house.metasvc.findings == [digest]
    # The placement is still kept, and the grant is asked for all the same. Then the blob is looked for once more.
    assert held_generations(house) == [0, 1, 0, 1]


async def test_a_blob_that_is_not_served_any_more_is_gone_at_once(house: House) -> None:
    digest = house.hold(CONTENT)
    await read(house, digest, "GET")
    house.metasvc.links.clear()

    assert [(await read(house, digest, method)).status_code for method in METHODS] == [404, 404]
    house.hold(CONTENT)
    assert (await read(house, digest)).status_code == 200
    assert len(house.blobsvc.located) == 1


@pytest.mark.parametrize("method", METHODS)
async def test_a_kept_placement_opens_nothing(house: House, method: str) -> None:
    digest = house.hold(CONTENT)
    await read(house, digest, "GET")

    foreign = await house.http.request(
        method, f"/v2/{REPOSITORY}/blobs/{digest}", headers=house.bearer("pull", "team/other")
    )
    elsewhere = await house.http.request(
        method, f"/v2/team/other/blobs/{digest}", headers=house.bearer("pull", "team/other")
    )

    assert (foreign.status_code, elsewhere.status_code) == (401, 404)


@pytest.mark.parametrize("method", METHODS)
async def test_a_caller_who_comes_alone_uses_it_too(house: House, method: str) -> None:
    digest = house.hold(CONTENT)
    await read(house, digest)

    headers = {"Authorization": f"Bearer {house.keyring.identity_token()}"}
    check(await house.http.request(method, f"/v2/{REPOSITORY}/blobs/{digest}", headers=headers), method)

    assert (house.metasvc.single_reads, len(house.blobsvc.located)) == (1, 1)


async def test_a_file_that_becomes_shorter_while_it_is_sent_is_reported_without_a_grant_from_before(
    house: House,
) -> None:
    content = bytes(64 * 1024 * 1024)
    digest = house.hold(content)
    await read(house, digest)
    path = f"/v2/{REPOSITORY}/blobs/{digest}"
    async with house.http.stream("GET", path, headers=house.bearer("pull")) as answer:
        pieces = answer.aiter_bytes(1000)
        await anext(pieces)
        [file] = house.blobsvc.located
        os.truncate(file, 1000)
        house.blobsvc.damaged.add(digest)
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            [piece async for piece in pieces]
    assert house.metasvc.findings == [digest]
    assert held_generations(house) == [0, 1, 0]
