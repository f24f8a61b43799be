"""`up` is ready when the gateway says that everything is."""

import asyncio

import pytest

from ctl.listen import Address
from ctl.ready import wait_until_ready
from tests.unit.ctl.conftest import LONGEST_SECONDS


@pytest.mark.parametrize("not_yet", ["HTTP/1.1 503 Service Unavailable", "HTTP/1.1", "nonsense", ""])
async def test_it_asks_until_the_answer_is_200(not_yet: str) -> None:
    answers = [not_yet, not_yet, "HTTP/1.1 200 OK"]
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"{answers.pop(0)}\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await asyncio.wait_for(wait_until_ready(Address("127.0.0.1", port), tls=False), LONGEST_SECONDS)

    assert answers == []
    assert all(request.startswith(f"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n") for request in asked)


async def test_nobody_listening_yet_is_waited_for() -> None:
    waiting = asyncio.create_task(wait_until_ready(Address("127.0.0.1", 1), tls=False))

    finished, _ = await asyncio.wait({waiting}, timeout=0.2)

    assert not finished
    waiting.cancel()
