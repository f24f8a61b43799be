"""Requests over HTTP/1.1 as clients usually send them, and those that another class has to read."""

import asyncio
import re
from collections.abc import Sequence

import pytest

from gateway.servers.hypercorn import quick
from tests.unit.gateway.conftest import REPOSITORY, House, digest_of

USUAL = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is given to the class on h11."""
    seen: list[bytes] = []
    give = quick.QuickHttp1._give_up_for_h11

    async def note(self: quick.QuickHttp1) -> None:
        seen.append(self._held)
        await give(self)

    monkeypatch.setattr(quick.QuickHttp1, "_give_up_for_h11", note)
    return seen


async def talk(house: House, pieces: Sequence[bytes], answers: int) -> bytes:
    """What the server sends: so many answers, or all that it sends until it closes the connection."""
    reader, writer = await house.raw()
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.01)
    answer = b""
    async with asyncio.timeout(10):
        while answer.count(b"HTTP/1.") < answers and (piece := await reader.read(65536)):
            answer += piece
    writer.transport.abort()
    return answer


async def test_usual_requests_are_read_here_however_they_are_cut(house: House, handed_over: list[bytes]) -> None:
    for size in (1, 7, len(USUAL), 3 * len(USUAL)):
        sent = USUAL * 3
        answer = await talk(house, [sent[at : at + size] for at in range(0, len(sent), size)], 3)
        assert answer.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert handed_over == []


@pytest.mark.parametrize("size", [1, 100, 70_000])
async def test_a_body_ends_where_its_length_says_and_the_next_request_begins_there(
    house: House, handed_over: list[bytes], size: int
) -> None:
    content = b"GET /v2/ HTTP/1.1\r\n" * 5_000
    begun = await house.http.post(f"/v2/{REPOSITORY}/blobs/uploads/", headers=house.bearer())
    location = f"{begun.headers['Location']}&digest={digest_of(content)}"
    head = (
        f"PUT {location} HTTP/1.1\r\nHost: x\r\nAuthorization: {house.bearer()['Authorization']}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    first, rest = content[:size], content[size:]
    handed_over.clear()
    answer = await talk(house, [head.encode() + first, rest + USUAL], 2)
    assert [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1")] == [
        b"HTTP/1.1 201 Created",
        b"HTTP/1.1 200 OK",
    ]
    assert house.blobsvc.blobs[digest_of(content)] == content
    assert handed_over == []


async def test_what_is_left_of_a_refused_body_is_no_request(house: House) -> None:
    head = f"PUT /v2/{REPOSITORY}/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
    answer = await talk(house, [head.encode(), USUAL * 10, USUAL * 10], 2)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("unusual", "status"),
    [
        (b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\nHost: x\n\n", 200),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"BREW /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
    ],
)
async def test_the_class_on_h11_alone_reads_and_refuses_the_rest(
    house: House, handed_over: list[bytes], unusual: bytes, status: int
) -> None:
    answer = await talk(house, [USUAL + unusual], 2)
    assert [int(found) for found in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answer)] == [200, status]
    assert len(handed_over) == 1
