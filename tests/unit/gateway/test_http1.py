"""Connections, and answers over HTTP/1.1, on a real port."""

import asyncio
import json

import pytest

from svckit.errors import error_for
from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import REPOSITORY, House, on_both_servers

pytestmark = on_both_servers


async def test_a_connection_ends_when_its_client_has_closed_it(house: House) -> None:
    for _ in range(3):
        reader, writer = await house.raw()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n")
        assert house.app.connections.count > 0
        writer.close()
        await writer.wait_closed()
    await wait_until_async(
        lambda: house.app.connections.count,
        "the connections to end",
        wanted=lambda count: count == 0,
        seconds=20,
    )


async def test_head_and_body_of_a_short_answer_come_together(house: House) -> None:
    reader, writer = await house.raw()
    for _ in range(3):
        writer.write(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = (await reader.read(65536)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 ")
        assert body.startswith(b'{"errors":')
    writer.close()


async def test_a_long_body_follows_its_head_byte_for_byte(house: House) -> None:
    content = bytes(range(256)) * 1024
    digest = house.hold(content)
    answer = await house.http.get(f"/v2/team/app/blobs/{digest}", headers=house.bearer())
    assert answer.content == content


async def test_a_refusal_without_a_body_is_heard_before_the_request_is_sent_to_its_end(house: House) -> None:
    reader, writer = await house.raw()
    writer.write(b"HEAD /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
    async with asyncio.timeout(3):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 ")
    # With Granian, the connection closes without a word, when it is clear that the body is not read.
    assert house.server == "granian" or b"connection: close" in head.lower()
    writer.close()


@pytest.mark.parametrize(
    ("request_line", "line"),
    [
        ("GET /healthz", "200 OK"),
        ("GET /v2/", "401 Unauthorized"),
        ("GET /nothing", "404 Not Found"),
        ("POST /v2/", "405 Method Not Allowed"),
        ("GET /api/v2.0/nothing", "404 Not Found"),
        ("PATCH /service/token", "405 Method Not Allowed"),
        ("GET /v2/nginx/manifests/x", "400 Bad Request"),
        ("HEAD /v2/", "401 Unauthorized"),
    ],
)
async def test_the_status_line_has_a_reason_phrase(house: House, request_line: str, line: str) -> None:
    reader, writer = await house.raw()
    writer.write(f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert await reader.readline() == f"HTTP/1.1 {line}\r\n".encode()
    writer.close()


async def test_a_refusal_and_a_partial_answer_have_a_reason_phrase(house: House) -> None:
    digest = house.hold(b"x" * 100)
    house.metasvc.failure = None
    part = await house.http.get(f"/v2/{REPOSITORY}/blobs/{digest}", headers={**house.bearer(), "Range": "bytes=0-1"})
    assert (part.status_code, part.reason_phrase) == (206, "Partial Content")
    house.metasvc.failure = error_for("QUOTA_EXCEEDED")
    refused = await house.http.get(f"/v2/{REPOSITORY}/blobs/{digest}", headers=house.bearer())
    assert (refused.status_code, refused.reason_phrase) == (403, "Forbidden")


@pytest.mark.parametrize(
    ("sent", "line", "code"),
    [
        (b"GET /\xc3\xa9 HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n", b"400 Bad Request", "BAD_REQUEST"),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"400 Bad Request", "BAD_REQUEST"),
        (b"GET / HTTP/1.1\r\nConnection: close\r\nHost: x\r\nHost: y\r\n\r\n", b"400 Bad Request", "BAD_REQUEST"),
        (b"nonsense\r\n\r\n", b"400 Bad Request", "BAD_REQUEST"),
        (b"G\xc3\x89T / HTTP/1.1\r\nHost: x\r\n\r\n", b"400 Bad Request", "BAD_REQUEST"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 400_000 + b"\r\n\r\n",
            b"431 Request Header Fields Too Large",
            "BAD_REQUEST",
        ),
        (b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", b"501 Not Implemented", "BAD_REQUEST"),
    ],
)
async def test_a_request_that_cannot_be_read_is_told_so(house: House, sent: bytes, line: bytes, code: str) -> None:
    if house.server == "granian" and line.startswith(b"501"):
        line = b"400 Bad Request"
    reader, writer = await house.raw()
    writer.write(sent)
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + line + b"\r\n")
    # What hyper cannot read, it answers itself, without a body.
    assert (house.server == "granian" and not body) or json.loads(body)["errors"][0]["code"] == code
    writer.close()
