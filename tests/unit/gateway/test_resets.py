"""How many HTTP/2 requests a client may take back."""

import asyncio
from contextlib import suppress
from unittest.mock import Mock

import h2.connection
import h2.events
import h2.settings
import pytest

from gateway.servers.hypercorn import http2
from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import House, on_both_servers

on_hypercorn = pytest.mark.parametrize("server", ["hypercorn"])
"""Granian has a limit of its own: twenty that it has not begun to serve."""

HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/v2/")]


class Resetter:
    """Sends requests, and takes some of them back."""

    def __init__(
        self, house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, window_bytes: int = 65535
    ) -> None:
        self._authorization = ("authorization", house.bearer()["Authorization"])
        self._reader, self._writer = reader, writer
        self._connection = h2.connection.H2Connection()
        self._connection.local_settings = h2.settings.Settings(
            initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window_bytes}
        )
        self._connection.initiate_connection()

    async def reset(self, count: int) -> None:
        for _ in range(count):
            self._connection.reset_stream(self._begin())
        await self._flush()

    async def begin(self, count: int) -> None:
        """Sends requests, and waits for no answer."""
        for _ in range(count):
            self._begin()
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


@on_hypercorn
async def test_a_client_may_take_back_a_hundred_requests(house: House, allowed: int) -> None:
    assert allowed == 100
    client = Resetter(house, *await house.raw())
    await client.reset(allowed)
    assert await client.ask(1)
    await client.close()
    await house.until_idle()


@on_both_servers
async def test_a_client_that_takes_back_one_more_is_disconnected(house: House, allowed: int) -> None:
    client = Resetter(house, *await house.raw())
    await client.reset(allowed + 1)
    assert not await client.ask(1)
    await client.close()
    await house.until_idle()


@on_hypercorn
async def test_a_client_may_take_back_half_of_many_requests(house: House, allowed: int) -> None:
    client = Resetter(house, *await house.raw())
    assert await client.ask(allowed + 10)
    await client.reset(allowed + 5)
    assert await client.ask(1)
    # From here on, it is more than half.
    await client.reset(20)
    assert not await client.ask(1)
    await client.close()
    await house.until_idle()


@on_both_servers
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


@on_both_servers
async def test_requests_end_with_the_connection_although_their_answers_were_not_read(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = Mock(wraps=house.app.answer)
    monkeypatch.setattr(house.app, "answer", reached)
    client = Resetter(house, *await house.raw(), window_bytes=0)
    await client.begin(20)
    await wait_until_async(lambda: reached.call_count, "the requests to arrive", wanted=lambda count: count == 20)
    await client.close()
    await house.until_idle()
