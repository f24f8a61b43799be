"""Connections, and answers over HTTP/1.1, on a real port."""

import asyncio

from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import House


async def test_a_connection_ends_when_its_client_has_closed_it(house: House) -> None:
    for _ in range(3):
        reader, writer = await house.raw()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n")
        assert any("_server_callback" in repr(task) for task in asyncio.all_tasks())
        writer.close()
        await writer.wait_closed()
    await wait_until_async(
        lambda: [task for task in asyncio.all_tasks() if "_server_callback" in repr(task)],
        "Hypercorn's tasks to end",
        wanted=lambda tasks: not tasks,
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
    assert b"connection: close" in head.lower()
    writer.close()
