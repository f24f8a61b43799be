"""How many HTTP/2 requests a client may take back."""

import asyncio
from contextlib import suppress
from unittest.mock import Mock

import h2.connection
import h2.events
import pytest

from gateway.servers.hypercorn import http2
from tests.unit.gateway.conftest import House, on_both_servers

pytestmark = on_both_servers

HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/v2/")]


class Resetter:
    """Sends requests, and takes some of them back."""

    def __init__(self, house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._authorization = ("authorization", house.bearer()["Authorization"])
        self._reader, self._writer = reader, writer
        self._connection = h2.connection.H2Connection()
        self._connection.initiate_connection()

    async def reset(self, count: int) -> None:
        for _ in range(count):
            self._connection.reset_stream(self._begin())
        await self._flush()

    async def ask(self, count: int) -> bool:
        """Whether the server answers so many requests, one after the other."""
        return all([await self._answered() for _ in range(count)])

    async def close(self) -> None:
        self._writer.transport.abort()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    def _begin(self) -> int:
        stream = self._connection.get_next_available_stream_id()
        self._connection.send_headers(stream, [*HEAD, self._authorization], end_stream=True)
        return stream

    async def _answered(self) -> bool:
        stream = self._begin()
        async with asyncio.timeout(10):
            try:
                await self._flush()
                while data := await self._reader.read(65536):
                    for event in self._connection.receive_data(data):
                        if isinstance(event, h2.events.StreamEnded) and event.stream_id == stream:
                            return True
                    await self._flush()
            except ConnectionError:
                pass
        return False

    async def _flush(self) -> None:
        self._writer.write(self._connection.data_to_send())
        await self._writer.drain()


@pytest.fixture
def allowed() -> int:
    return http2._RESETS_ALLOWED


@pytest.fixture
def hypercorn_house(house: House) -> House:
    if house.server == "granian":
        pytest.skip("its own limit: twenty that it has not begun to serve")
    return house


async def test_a_client_may_take_back_a_hundred_requests(hypercorn_house: House, allowed: int) -> None:
    house = hypercorn_house
    assert allowed == 100
    client = Resetter(house, *await house.raw())
    await client.reset(allowed)
    assert await client.ask(1)
    await client.close()
    await house.until_idle()


async def test_a_client_that_takes_back_one_more_is_disconnected(house: House, allowed: int) -> None:
    client = Resetter(house, *await house.raw())
    await client.reset(allowed + 1)
    assert not await client.ask(1)
    await client.close()
    await house.until_idle()


async def test_a_client_may_take_back_half_of_many_requests(hypercorn_house: House, allowed: int) -> None:
    house = hypercorn_house
    client = Resetter(house, *await house.raw())
    assert await client.ask(allowed + 10)
    await client.reset(allowed + 5)
    assert await client.ask(1)
    # From here on, it is more than half.
    await client.reset(20)
    assert not await client.ask(1)
    await client.close()
    await house.until_idle()


async def test_requests_that_are_taken_back_at_once_do_not_reach_the_app(
    house: House, allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Mock(wraps=house.app.finished)
    monkeypatch.setattr(house.app, "finished", served)
    client = Resetter(house, *await house.raw())
    await client.reset(allowed)
    # Granian closes the connection after twenty that it has not begun to serve.
    assert await client.ask(1) == (house.server == "hypercorn")
    await client.close()
    await house.until_idle()
    assert served.call_count <= (1 if house.server == "hypercorn" else 20)
