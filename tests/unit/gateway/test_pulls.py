import email
import random

import httpx
import pytest

from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse, digest_of, on_both_servers

pytestmark = on_both_servers

PLACEMENTS = ["stream", "file"]
CONTENT = random.Random(1).randbytes(3 * 1024 * 1024 + 17)
SIZE = len(CONTENT)


def path(digest: str) -> str:
    return f"/v2/{REPOSITORY}/blobs/{digest}"


@pytest.fixture(params=PLACEMENTS)
async def house(request: pytest.FixtureRequest, make_house: MakeHouse) -> House:
    """A gateway that gets blobs over the stream, and one that reads their files."""
    return await make_house(placement=request.param)


@pytest.fixture
async def stream_house(make_house: MakeHouse) -> House:
    """A gateway that gets blobs over the stream."""
    return await make_house()


async def test_a_blob_comes_whole_with_its_length_and_digest(house: House) -> None:
    digest = house.hold(CONTENT)
    answer = await house.http.get(path(digest), headers=house.bearer("pull"))
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["ETag"] == f'"{digest}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "Content-Encoding" not in answer.headers
    assert "Transfer-Encoding" not in answer.headers


async def test_head_gives_the_real_length_and_no_body_and_reads_nothing(house: House) -> None:
    digest = house.hold(CONTENT)
    answer = await house.http.head(path(digest), headers=house.bearer("pull"))
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.content == b""
    await house.until_idle()
    assert house.blobsvc.reads == []
    assert 'http_blob_sent_bytes_total{placement="file"} 0.0' in (await house.http.get("/metrics")).text


async def test_an_empty_blob_comes_empty(house: House) -> None:
    digest = house.hold(b"")
    answer = await house.http.get(path(digest), headers=house.bearer("pull"))
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
    ranged = await house.http.get(path(digest), headers={**house.bearer("pull"), "Range": "bytes=0-"})
    assert ranged.status_code == 416


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=500-1499", 500, 1499),
        ("bytes=500-", 500, SIZE - 1),
        ("bytes=-500", SIZE - 500, SIZE - 1),
        ("bytes=0-0", 0, 0),
        ("bytes=2000-99999999", 2000, SIZE - 1),
        ("Bytes = 1-2", 1, 2),
        (f"bytes=-{SIZE * 2}", 0, SIZE - 1),
        ("bytes=7-" + "9" * 30, 7, SIZE - 1),
        ("bytes=,3-4,,", 3, 4),
    ],
)
async def test_a_range_comes_as_206(house: House, asked: str, first: int, last: int) -> None:
    digest = house.hold(CONTENT)
    answer = await house.http.get(path(digest), headers={**house.bearer("pull"), "Range": asked})
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.content == CONTENT[first : last + 1]


@pytest.mark.parametrize(
    "asked", ["bytes=500-0", f"bytes={SIZE}-", "bytes=-0", "bytes=a-b", "bytes=-", "bytes=", "bytes=,"]
)
async def test_a_range_that_cannot_be_is_416_with_the_size(house: House, asked: str) -> None:
    digest = house.hold(CONTENT)
    answer = await house.http.get(path(digest), headers={**house.bearer("pull"), "Range": asked})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize("asked", ["lines=1-2", "bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(1025))])
async def test_ranges_of_another_unit_and_too_many_give_the_whole(house: House, asked: str) -> None:
    digest = house.hold(CONTENT)
    answer = await house.http.get(path(digest), headers={**house.bearer("pull"), "Range": asked})
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(SIZE))


async def test_many_ranges_come_in_parts_in_the_order_asked_for(house: House) -> None:
    digest = house.hold(CONTENT)
    wanted = [(1_000_000, 2_500_000), (0, 9), (SIZE - 5, SIZE - 1), (20, 20)]
    asked = "bytes=" + ",".join(f"{first}-{last}" for first, last in wanted)
    answer = await house.http.get(path(digest), headers={**house.bearer("pull"), "Range": asked})
    assert answer.status_code == 206
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert answer.headers["Docker-Content-Digest"] == digest
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content)
    assert message.get_content_type() == "multipart/byteranges"
    parts = message.get_payload()
    assert [part["Content-Range"] for part in parts] == [  # type: ignore[index]
        f"bytes {first}-{last}/{SIZE}" for first, last in wanted
    ]
    for first, last in wanted:
        frame = f"Content-Range: bytes {first}-{last}/{SIZE}\r\n\r\n".encode()
        assert frame + CONTENT[first : last + 1] + b"\r\n--" in answer.content


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        (f"bytes=0-{SIZE - 1},0-{SIZE - 1}", 0, SIZE - 1),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(1000)), 0, 999),
        ("bytes=" + ",".join(["0-"] * 1000), 0, SIZE - 1),
        ("bytes=10-19,0-9,5-14", 0, 19),
        ("bytes=-5,-10", SIZE - 10, SIZE - 1),
    ],
)
async def test_ranges_that_overlap_or_touch_are_one_range(house: House, asked: str, first: int, last: int) -> None:
    digest = house.hold(CONTENT)
    answer = await house.http.get(path(digest), headers={**house.bearer("pull"), "Range": asked})
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, f"bytes {first}-{last}/{SIZE}")
    assert answer.content == CONTENT[first : last + 1]


@pytest.mark.parametrize("step", [1, -1])
async def test_a_thousand_ranges_need_one_grant_and_few_reads(house: House, step: int) -> None:
    digest = house.hold(CONTENT)
    wanted = [(3 * n, 3 * n + 1) for n in range(1000)][::step]
    asked = "bytes=" + ",".join(f"{first}-{last}" for first, last in wanted)
    answer = await house.http.get(path(digest), headers={**house.bearer("pull"), "Range": asked})
    assert answer.status_code == 206
    assert answer.headers["Content-Length"] == str(len(answer.content))
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    parts = answer.content.split(b"\r\n--" + boundary)[1:-1]
    got = [part.partition(b"\r\n\r\n") for part in parts]
    assert {head.rpartition(b"bytes ")[2]: body for head, _, body in got} == {
        f"{first}-{last}/{SIZE}".encode(): CONTENT[first : last + 1] for first, last in wanted
    }
    assert len(house.metasvc.request_ids) == 1
    # In descending order, a read for each range would be needed.
    by_file = house.blobsvc.folder is not None
    assert house.blobsvc.reads == ([] if by_file else [(0, 2999)])
    assert len(house.blobsvc.located) == by_file


async def test_parts_are_cut_right_wherever_the_messages_of_a_read_end(house: House) -> None:
    digest = house.hold(CONTENT)
    edge = 1024 * 1024
    wanted = [(0, 0), (edge - 3, edge - 1), (edge + 1, 2 * edge), (2 * edge + 2, SIZE - 1)]
    asked = "bytes=" + ",".join(f"{first}-{last}" for first, last in wanted)
    answer = await house.http.get(path(digest), headers={**house.bearer("pull"), "Range": asked})
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    got = [part.partition(b"\r\n\r\n")[2] for part in answer.content.split(b"\r\n--" + boundary)[1:-1]]
    assert got == [CONTENT[first : last + 1] for first, last in wanted]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_if_match_holds_for_this_digest_only_and_goes_before_other_conditions(house: House, method: str) -> None:
    digest = house.hold(CONTENT)
    same, other = f'"{digest}"', '"sha256:other"'
    for condition, status in [
        ({"If-Match": same}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": digest}, 200),
        ({"If-Match": f"{other}, {same}"}, 200),
        ({"If-Match": other}, 412),
        ({"If-Match": f"W/{same}"}, 412),
        ({"If-Match": '"unclosed'}, 400),
        ({"If-None-Match": 'broken"'}, 400),
        ({"If-Match": same, "If-None-Match": same}, 304),
        ({"If-Match": other, "If-None-Match": same}, 412),
        ({"If-Match": other, "Range": "bytes=0-1"}, 412),
    ]:
        answer = await house.http.request(method, path(digest), headers={**house.bearer("pull"), **condition})
        assert (condition, answer.status_code) == (condition, status)
    ranged = {**house.bearer("pull"), "If-Match": same, "If-Range": same, "Range": "bytes=0-1"}
    assert (await house.http.get(path(digest), headers=ranged)).status_code == 206


async def test_a_delete_keeps_its_condition(house: House) -> None:
    digest = house.hold(CONTENT)
    for name, value, status in [
        ("If-Match", '"sha256:other"', 412),
        ("If-Match", '"unclosed', 400),
        ("If-None-Match", f'"{digest}"', 412),
        ("If-None-Match", "*", 412),
        ("If-None-Match", '"unclosed', 400),
    ]:
        answer = await house.http.delete(path(digest), headers={**house.bearer(), name: value})
        assert answer.status_code == status
        assert (await house.http.head(path(digest), headers=house.bearer())).status_code == 200
    others = {**house.bearer(), "If-None-Match": '"sha256:other"'}
    assert (await house.http.delete(path(digest), headers=others)).status_code == 202


async def test_conditions_are_kept(house: House) -> None:
    digest = house.hold(CONTENT)
    same = await house.http.get(path(digest), headers={**house.bearer("pull"), "If-None-Match": f'W/"{digest}"'})
    assert (same.status_code, same.content) == (304, b"")
    stale = {**house.bearer("pull"), "Range": "bytes=0-1", "If-Range": '"another"'}
    assert (await house.http.get(path(digest), headers=stale)).status_code == 200
    stale["If-Range"] = f'"{digest}"'
    assert (await house.http.get(path(digest), headers=stale)).status_code == 206


@pytest.mark.parametrize(
    ("held", "served"),
    [
        ("application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("text/html", "application/octet-stream"),
        ("application/xhtml+xml", "application/octet-stream"),
    ],
)
async def test_a_blob_has_its_media_type_but_never_one_that_a_browser_would_run(
    house: House, held: str, served: str
) -> None:
    digest = house.hold(CONTENT)
    house.metasvc.media_types[digest] = held
    answer = await house.http.head(path(digest), headers=house.bearer("pull"))
    assert answer.headers["Content-Type"] == served
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_unknown_blobs_are_404_and_bad_digests_400(house: House) -> None:
    unknown = await house.http.get(path(digest_of(b"?")), headers=house.bearer("pull"))
    assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (404, "BLOB_UNKNOWN")
    bad = await house.http.get(path("sha256:xyz"), headers=house.bearer("pull"))
    assert (bad.status_code, bad.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")


async def test_a_deleted_link_is_gone(house: House) -> None:
    digest = house.hold(CONTENT)
    assert (await house.http.delete(path(digest), headers=house.bearer("delete"))).status_code == 202
    assert (await house.http.delete(path(digest), headers=house.bearer("delete"))).status_code == 404


async def test_bytes_that_are_gone_before_the_first_are_an_error_and_not_a_short_body(stream_house: House) -> None:
    house = stream_house
    digest = house.hold(CONTENT)
    del house.blobsvc.blobs[digest]
    answer = await house.http.get(path(digest), headers=house.bearer("pull"))
    assert answer.status_code == 404


@pytest.mark.parametrize("asked", [None, "bytes=0-9,100-2500000"])
async def test_a_read_that_fails_in_the_middle_cuts_the_connection(stream_house: House, asked: str | None) -> None:
    house = stream_house
    digest = house.hold(CONTENT)
    house.blobsvc.breaks_after = 1024 * 1024
    headers = house.bearer("pull") | ({"Range": asked} if asked else {})
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        await house.http.get(path(digest), headers=headers)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_damaged_blob_is_reported_and_unknown(house: House, method: str) -> None:
    digest = house.hold(CONTENT)
    house.blobsvc.damaged.add(digest)

    answer = await house.http.request(method, path(digest), headers=house.bearer("pull"))

    assert answer.status_code == 404
    assert house.metasvc.findings == [digest]
    assert "finding" not in answer.text


async def test_a_blob_that_was_replaced_meanwhile_is_read_again(house: House) -> None:
    digest = house.hold(CONTENT)
    house.blobsvc.damaged.add(digest)

    def heal() -> None:
        house.blobsvc.damaged.clear()
        house.hold(CONTENT)

    house.metasvc.after_finding = heal
    answer = await house.http.get(path(digest), headers=house.bearer("pull"))
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert len(house.metasvc.findings) == 1


async def test_damage_that_is_found_at_the_end_of_a_read_cuts_the_connection_and_is_reported(
    stream_house: House,
) -> None:
    house = stream_house
    digest = house.hold(CONTENT)
    house.blobsvc.damaged.add(digest)
    house.blobsvc.breaks_after = 3 * 1024 * 1024
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        await house.http.get(path(digest), headers=house.bearer("pull"))
    assert house.metasvc.findings == [digest]


@pytest.mark.parametrize("placement", PLACEMENTS)
async def test_a_client_that_stops_reading_is_given_up(make_house: MakeHouse, placement: str) -> None:
    from gateway.config import Limits

    house = await make_house(placement=placement, limits=Limits(idle_body_seconds=0.2, drain_seconds=0.2))
    content = bytes(64 * 1024 * 1024)
    digest = house.hold(content)
    reader, writer = await house.raw()
    token = house.bearer("pull")["Authorization"]
    writer.write(f"GET {path(digest)} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
    await writer.drain()
    await wait_until_async(lambda: house.app.in_flight, "the request to arrive")
    # Nothing is read from here on until the gateway has had enough.
    await house.until_idle()
    writer.transport.abort()
    del reader


async def test_a_client_that_leaves_ends_the_read(house: House) -> None:
    digest = house.hold(bytes(64 * 1024 * 1024))
    reader, writer = await house.raw()
    token = house.bearer("pull")["Authorization"]
    writer.write(f"GET {path(digest)} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert house.app.in_flight == 1
    writer.transport.abort()
    await house.until_idle()
