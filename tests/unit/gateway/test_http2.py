"""Requests over HTTP/2 that Hypercorn by itself would answer by closing the connection, on a real port."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from tests.unit.gateway.conftest import House, on_both_servers

pytestmark = on_both_servers

Headers = list[tuple[bytes, bytes]]


@dataclass
class Stream:
    """What came on one stream."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False

    @property
    def status(self) -> int:
        return int(self.headers[b":status"])

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["errors"][0]["code"])


class Http2Client:
    """A client that sends what it is told, valid or not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.connection = h2.connection.H2Connection(
            h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.connection.initiate_connection()
        self._streams: dict[int, Stream] = {}

    async def send(self, headers: Headers, body: bytes | None = None) -> int:
        stream_id = self.connection.get_next_available_stream_id()
        self.connection.send_headers(stream_id, headers, end_stream=body is None)
        if body is not None:
            self.connection.send_data(stream_id, body, end_stream=True)
        self._streams[stream_id] = Stream()
        await self._flush()
        return stream_id

    async def receive(self, stream_id: int) -> Stream:
        """The answer on a stream; fails if the server closes the connection instead."""
        stream = self._streams[stream_id]
        async with asyncio.timeout(10):
            while not stream.ended:
                data = await self._reader.read(65536)
                assert data, "the server closed the connection"
                for event in self.connection.receive_data(data):
                    self._take(event)
                await self._flush()
        return stream

    async def ask(self, headers: Headers, body: bytes | None = None) -> Stream:
        return await self.receive(await self.send(headers, body))

    async def _flush(self) -> None:
        self._writer.write(self.connection.data_to_send())
        await self._writer.drain()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                self._streams[event.stream_id].headers = dict(event.headers or ())
            case h2.events.DataReceived():
                self._streams[event.stream_id].body += event.data or b""
            case h2.events.StreamEnded():
                self._streams[event.stream_id].ended = True
            case h2.events.ConnectionTerminated() | h2.events.StreamReset():
                raise AssertionError(f"instead of an answer came {event}")


def request(
    method: bytes = b"GET", path: bytes = b"/healthz", more: Iterable[tuple[bytes, bytes]] = (), host: bytes = b"x"
) -> Headers:
    return [(b":method", method), (b":scheme", b"http"), (b":authority", host), (b":path", path), *more]


@pytest.fixture
async def client(house: House) -> AsyncIterator[Http2Client]:
    reader, writer = await house.raw()
    yield Http2Client(reader, writer)
    writer.close()
    await writer.wait_closed()


async def assert_alive(client: Http2Client) -> None:
    """Over the same connection, a good request is answered."""
    answer = await client.ask(request())
    assert (answer.status, answer.body) == (200, b"ok\n")


def malformed(headers: Headers) -> bool:
    """Whether the h2 of Rust resets the stream of a request, or closes the connection, before Granian sees it."""
    pseudo = dict(headers)
    path = pseudo.get(b":path", b"/")
    return (
        b":protocol" in pseudo
        or not pseudo[b":method"].isascii()
        or not path.startswith((b"/", b"*"))
        or not _utf8(path)
    )


def _utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


CONNECT: Headers = [(b":method", b"CONNECT"), (b":authority", b"example.com:443")]
WEBSOCKET: Headers = [*request(b"CONNECT", b"/v2/"), (b"sec-websocket-version", b"13")]
WEBSOCKET.insert(1, (b":protocol", b"websocket"))


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        pytest.param(CONNECT, 405, "METHOD_NOT_ALLOWED", id="CONNECT"),
        pytest.param(WEBSOCKET, 405, "UNSUPPORTED", id="a websocket"),
        pytest.param(request(path="/v2/é".encode()), 400, "UNSUPPORTED", id="UTF-8 in the path of the registry"),
        pytest.param(request(path=b"/\xff\xfe"), 400, "BAD_REQUEST", id="any bytes in the path"),
        pytest.param(request(path="/x?q=é".encode()), 400, "BAD_REQUEST", id="UTF-8 in the query"),
        pytest.param(request(method="GÉT".encode()), 400, "BAD_REQUEST", id="UTF-8 in the method"),
        pytest.param(request(path=b"nonsense"), 404, "NOT_FOUND", id="a target that is no path"),
        pytest.param(request(path=b"*", method=b"OPTIONS"), 404, "NOT_FOUND", id="the target *"),
        pytest.param(request(path=b"http://[::1"), 404, "NOT_FOUND", id="a host with an open bracket"),
        pytest.param(request(path=b"/v2/%zz"), 400, "UNSUPPORTED", id="a broken escape"),
        pytest.param(request(path=b"/healthz", method=b"connect"), 405, "METHOD_NOT_ALLOWED", id="connect"),
    ],
)
async def test_an_odd_request_is_answered_and_the_connection_stays(
    house: House, client: Http2Client, caplog: pytest.LogCaptureFixture, headers: Headers, status: int, code: str
) -> None:
    if house.server == "granian" and malformed(headers):
        with pytest.raises(AssertionError, match=r"instead of an answer came <(StreamReset|ConnectionTerminated)"):
            await client.ask(headers)
    else:
        answer = await client.ask(headers)
        assert (answer.status, answer.code) == (status, code)
        await assert_alive(client)
    assert "Traceback" not in caplog.text


async def test_the_body_of_a_refused_request_is_dropped(client: Http2Client) -> None:
    answer = await client.ask(CONNECT, b"x" * 10_000)
    assert answer.status == 405
    await assert_alive(client)


async def test_a_refused_request_of_a_client_that_allows_no_data_harms_nobody(client: Http2Client) -> None:
    client.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
    await client.send(CONNECT)
    client.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
    await assert_alive(client)


async def test_websockets_are_not_offered(client: Http2Client) -> None:
    await assert_alive(client)
    remote = client.connection.remote_settings
    assert not remote.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL, 0)


async def test_the_authority_is_the_host_of_the_challenge(client: Http2Client) -> None:
    answer = await client.ask(request(path=b"/v2/", host=b"registry.example:8443"))
    assert b'realm="http://registry.example:8443/service/token"' in answer.headers[b"www-authenticate"]


@pytest.mark.parametrize("path", [b"//metrics", b"/%6detrics", b"/metrics/"])
async def test_no_other_spelling_reaches_the_metrics(client: Http2Client, path: bytes) -> None:
    assert (await client.ask(request(path=path))).status == 404
    assert (await client.ask(request(path=b"/metrics"))).status == 200
