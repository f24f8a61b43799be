"""What callers without credentials, and callers with many requests, can take of a gateway, and what they leave."""

import asyncio
import json
import socket
from contextlib import suppress
from typing import Any

import h2.connection
import h2.events
import pytest

from gateway.config import Limits
from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse, on_both_servers

pytestmark = on_both_servers

MANIFEST = f"/v2/{REPOSITORY}/manifests/latest"
LARGEST = 4 * 1024 * 1024
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def begin(house: House, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Ends:
    """Sends the head of a request, and the beginning of its body. The system holds little of an unread answer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", house.port))
    reader, writer = await asyncio.open_connection(sock=client, limit=16 * 1024)
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()
    return reader, writer


async def status_of(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(10):
        return int((await reader.readline()).split()[1])


async def taken(house: House, kind: str, count: int) -> None:
    places: Any = getattr(house.app.admission, kind)
    await wait_until_async(lambda: places.taken, f"{count} places", wanted=lambda now: now == count, seconds=10)


def close(*ends: Ends) -> None:
    for _, writer in ends:
        writer.transport.abort()


@pytest.mark.parametrize("kind", ["forged", "anonymous", "of another repository", "for pulls only", "none"])
async def test_nothing_of_a_manifest_is_read_before_its_token_is_judged(house: House, kind: str) -> None:
    tokens = {
        "forged": "x.y.z",
        "anonymous": house.token((REPOSITORY, "pull"), subject="anonymous"),
        "of another repository": house.token(("team/other", "pull,push")),
        "for pulls only": house.token((REPOSITORY, "pull")),
    }
    headers = {"Content-Length": str(LARGEST), "Expect": "100-continue"}
    if kind in tokens:
        headers["Authorization"] = f"Bearer {tokens[kind]}"
    reader, writer = await begin(house, "PUT", MANIFEST, headers)
    # The first answer is the final one: the body is not asked for.
    assert await status_of(reader) == 401
    close((reader, writer))
    await house.until_idle()


async def test_a_body_is_asked_for_when_its_token_is_judged(house: House) -> None:
    content = b"{}"
    headers = house.bearer() | {"Content-Length": str(len(content)), "Expect": "100-continue", "Connection": "close"}
    reader, writer = await begin(house, "PUT", MANIFEST, headers)
    assert await status_of(reader) == 100
    assert await reader.readline() == b"\r\n"
    writer.write(content)
    # The stand-in takes any manifest.
    assert await status_of(reader) in {201, 400}
    close((reader, writer))


async def test_json_with_a_wrong_token_is_not_read(house: House) -> None:
    headers = {"Authorization": "Bearer x.y.z", "Content-Length": "1000000", "Expect": "100-continue"}
    reader, writer = await begin(house, "POST", "/api/v2.0/projects", headers)
    assert await status_of(reader) == 401
    close((reader, writer))


async def test_bodies_that_are_held_as_a_whole_share_the_memory(make_house: MakeHouse) -> None:
    mebibyte = 1024 * 1024
    house = await make_house(
        Limits(body_memory_bytes=5 * mebibyte, body_memory_per_caller_bytes=2 * mebibyte, drain_seconds=0.2)
    )
    halves: list[Ends] = []

    async def send(subject: str) -> Ends:
        token = house.token((REPOSITORY, "pull,push"), subject=subject)
        headers = {"Authorization": f"Bearer {token}", "Content-Length": str(2 * mebibyte)}
        return await begin(house, "PUT", MANIFEST, headers, b" " * (2 * mebibyte - 1))

    memory = house.app.admission.memory
    for number, subject in enumerate(("user:1", "user:2"), 1):
        halves.append(await send(subject))
        await _held(house, number * (2 * mebibyte - 1))
    others = [await send("user:1"), await send("user:3")]
    assert [await status_of(reader) for reader, _ in others] == [429, 503]
    # Small requests go on.
    answer = await house.http.get("/v2/", headers=house.bearer())
    assert answer.status_code == 200
    close(*halves, *others)
    await house.until_idle()
    assert memory.held_bytes == 0


async def _held(house: House, size: int) -> None:
    memory = house.app.admission.memory
    await wait_until_async(lambda: memory.held_bytes, "bodies to arrive", wanted=lambda now: now >= size, seconds=10)


async def test_a_body_of_a_byte_now_and_then_is_given_up(make_house: MakeHouse) -> None:
    house = await make_house(Limits(idle_body_seconds=0.5, drain_seconds=0.2))
    reader, writer = await begin(house, "PUT", MANIFEST, house.bearer() | {"Content-Length": "1000"})
    status = asyncio.ensure_future(status_of(reader))
    # Each byte comes in time, if only the pause before it counted.
    while not status.done():
        writer.write(b" ")
        await asyncio.wait([status], timeout=0.1)
    assert await status == 408
    close((reader, writer))


async def test_slow_readers_of_a_public_blob_leave_pushes_and_pulls_their_places(make_house: MakeHouse) -> None:
    house = await make_house(Limits(streams=4, streams_without_credentials=2, drain_seconds=0.2))
    digest = house.hold(b"x" * (8 * 1024 * 1024))
    blob = f"/v2/{REPOSITORY}/blobs/{digest}"
    stranger = {"Authorization": f"Bearer {house.token((REPOSITORY, 'pull'), subject='anonymous')}"}
    slow = [await begin(house, "GET", blob, stranger) for _ in range(2)]
    await taken(house, "streams", 2)
    refused = await house.http.get(blob, headers=stranger)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert (await house.http.get(blob, headers=house.bearer())).status_code == 200
    location = (await house.http.post(f"/v2/{REPOSITORY}/blobs/uploads/", headers=house.bearer())).headers["Location"]
    assert (await house.http.patch(location, content=b"abc", headers=house.bearer())).status_code == 202
    close(*slow)
    await house.until_idle()
    assert house.app.admission.streams.taken == 0


async def test_an_address_has_more_streams_for_callers_with_credentials(make_house: MakeHouse) -> None:
    limits = Limits(streams_per_address=3, streams_per_address_without_credentials=1, drain_seconds=0.2)
    house = await make_house(limits)
    blob = f"/v2/{REPOSITORY}/blobs/{house.hold(b'x' * (8 * 1024 * 1024))}"
    stranger = {"Authorization": f"Bearer {house.token((REPOSITORY, 'pull'), subject='anonymous')}"}
    # One subject for each stream: behind a NAT, many callers have one address.
    known = [
        {"Authorization": f"Bearer {house.token((REPOSITORY, 'pull'), subject=f'user:{number + 1}')}"}
        for number in range(4)
    ]
    slow = [await begin(house, "GET", blob, headers) for headers in (stranger, *known[:3])]
    await taken(house, "streams", 4)
    for headers in (stranger, known[3]):
        assert (await house.http.get(blob, headers=headers)).status_code == 429
    close(*slow)
    await house.until_idle()


async def test_one_token_has_a_share_of_the_streams(make_house: MakeHouse) -> None:
    house = await make_house(Limits(streams_per_subject=2, drain_seconds=0.2))
    uploads = f"/v2/{REPOSITORY}/blobs/uploads/"
    locations = [(await house.http.post(uploads, headers=house.bearer())).headers["Location"] for _ in range(3)]
    headers = house.bearer() | {"Content-Length": "1000"}
    dripping = [await begin(house, "PATCH", location, headers, b"x") for location in locations[:2]]
    await taken(house, "streams", 2)
    assert (await house.http.patch(locations[2], content=b"abc", headers=house.bearer())).status_code == 429
    other = {"Authorization": f"Bearer {house.token((REPOSITORY, 'pull,push'), subject='user:8')}"}
    location = (await house.http.post(uploads, headers=other)).headers["Location"]
    assert (await house.http.patch(location, content=b"abc", headers=other)).status_code == 202
    # Uploads are no requests in flight.
    assert house.app.admission.requests.taken == 0
    close(*dripping)
    await house.until_idle()


async def drip_forms(house: House, count: int, **headers: str) -> list[Ends]:
    """Requests whose callers are not known until their body is there."""
    form = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "100"} | headers
    return [await begin(house, "POST", "/service/token", form, b"g") for _ in range(count)]


async def test_strangers_hold_a_share_of_the_requests_and_others_still_get_in(make_house: MakeHouse) -> None:
    house = await make_house(Limits(requests_in_flight=5, requests_without_credentials=3, drain_seconds=0.2))
    forms = await drip_forms(house, 3)
    await taken(house, "requests", 3)
    refused = await house.http.get("/v2/")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert (await house.http.get("/v2/", headers=house.bearer())).status_code == 200
    assert (await house.http.get("/healthz")).status_code == 200
    metrics = (await house.http.get("/metrics")).text
    assert 'http_places_taken{kind="requests"} 3.0' in metrics
    assert 'http_places_refused_total{kind="requests",reason="without_credentials"} 1.0' in metrics
    close(*forms)
    await house.until_idle()


async def test_behind_a_trusted_proxy_the_forwarded_address_has_the_share(make_house: MakeHouse) -> None:
    house = await make_house(
        Limits(requests_per_address_without_credentials=1, drain_seconds=0.2), trusted_proxies=("127.0.0.0/8",)
    )
    forms = await drip_forms(house, 1, **{"X-Forwarded-For": "192.0.2.1"})
    await taken(house, "requests", 1)
    for address, status in (("192.0.2.1", 429), ("192.0.2.2", 401)):
        answer = await house.http.get("/v2/", headers={"X-Forwarded-For": address})
        assert answer.status_code == status
    close(*forms)
    await house.until_idle()


async def test_a_newcomer_takes_the_place_of_an_idle_connection_of_its_own_address(make_house: MakeHouse) -> None:
    house = await make_house(Limits(connections_per_address=3, drain_seconds=0.2))
    known = await begin(house, "GET", "/v2/", house.bearer())
    assert await status_of(known[0]) == 200
    idle = [await house.raw() for _ in range(2)]
    await wait_until_async(lambda: house.app.connections.count, "three", wanted=lambda count: count == 3, seconds=10)
    newcomer = await begin(house, "GET", "/healthz", {"Connection": "close"})
    assert await status_of(newcomer[0]) == 200
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionError):
            await read_all(idle[0][0])
    # The one that has shown credentials is still served.
    known[1].write(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(10):
        assert b"HTTP/1.1 401" in await known[0].read()
    close(known, newcomer, *idle)


async def read_all(reader: asyncio.StreamReader) -> None:
    if not await reader.read():
        raise ConnectionResetError


async def test_an_answer_that_a_client_gives_no_window_for_is_reset_and_its_memory_counted(
    make_house: MakeHouse,
) -> None:
    house = await make_house(
        Limits(idle_body_seconds=0.5, body_memory_per_caller_bytes=4 * 1024 * 1024, drain_seconds=0.2)
    )
    content = json.dumps({"schemaVersion": 2, "annotations": {"x": "y" * (3 * 1024 * 1024)}}).encode()
    headers = house.bearer() | {"Content-Type": "application/vnd.oci.image.index.v1+json"}
    assert (await house.http.put(MANIFEST, content=content, headers=headers)).status_code == 201
    reader, writer = await house.raw()
    client = h2.connection.H2Connection()
    client.initiate_connection()
    head = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", MANIFEST)]
    client.send_headers(1, [*head, ("authorization", house.bearer()["Authorization"])], end_stream=True)
    writer.write(client.data_to_send())
    memory = house.app.admission.memory
    await wait_until_async(lambda: memory.held_bytes, "it to be held", wanted=lambda held: held > 0, seconds=10)
    # A second one would be above the caller's share.
    assert (await house.http.get(MANIFEST, headers=house.bearer())).status_code == 429
    async with asyncio.timeout(10):
        # Granian cannot reset a stream that it has no window for, so the connection is closed.
        assert await is_reset(client, reader) or house.server == "granian"
    await house.until_idle()
    assert memory.held_bytes == 0
    writer.transport.abort()


async def is_reset(client: h2.connection.H2Connection, reader: asyncio.StreamReader) -> bool:
    """Waits until a stream is reset or the connection is closed. Returns whether it was a stream."""
    with suppress(ConnectionError):
        while data := await reader.read(9999):
            if any(isinstance(event, h2.events.StreamReset) for event in client.receive_data(data)):
                return True
    return False


async def test_a_client_that_sends_requests_and_reads_no_answers_is_disconnected(make_house: MakeHouse) -> None:
    house = await make_house(Limits(idle_body_seconds=0.5, keep_alive_seconds=1, drain_seconds=0.2))
    content = json.dumps({"schemaVersion": 2, "annotations": {"x": "y" * 60_000}}).encode()
    headers = house.bearer() | {"Content-Type": "application/vnd.oci.image.index.v1+json"}
    assert (await house.http.put(MANIFEST, content=content, headers=headers)).status_code == 201
    await house.http.aclose()
    client = await begin(house, "GET", MANIFEST, house.bearer())
    request = f"GET {MANIFEST} HTTP/1.1\r\nHost: x\r\nAuthorization: {house.bearer()['Authorization']}\r\n\r\n"
    # The system's buffers on both sides fill, and then those of the gateway.
    client[1].write(request.encode() * 300)
    await wait_until_async(lambda: house.app.admission.requests.taken, "the last", wanted=lambda n: n == 1, seconds=10)
    await house.until_idle()
    await wait_until_async(lambda: house.app.connections.count, "no connection", wanted=lambda n: n == 0, seconds=10)
    close(client)
