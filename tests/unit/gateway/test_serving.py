"""What a server does besides requests: its addresses, its end, and connections that are left."""

import asyncio
import json
import socket
import stat
import sys
from pathlib import Path

import pytest

from gateway.config import GatewaySettings, Limits
from gateway.servers.chosen import serve_http
from gateway.servers.listen import listening
from svckit.errors.start import StartError
from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse, on_both_servers

MANIFEST = f"/v2/{REPOSITORY}/manifests/latest"
INDEX = {"Content-Type": "application/vnd.oci.image.index.v1+json"}


async def begin_put(house: House, size: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request that waits for the last of its body."""
    reader, writer = await house.raw()
    headers = house.bearer() | INDEX | {"Content-Length": str(size)}
    lines = [f"PUT {MANIFEST} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await wait_until_async(lambda: house.app.in_flight, "the request to arrive")
    return reader, writer


@on_both_servers
async def test_a_stop_waits_for_requests_closes_idle_connections_and_takes_no_new_ones(make_house: MakeHouse) -> None:
    house = await make_house(Limits(drain_seconds=20))
    idle_reader, idle_writer = await house.raw()
    idle_writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await idle_reader.readuntil(b"ok\n")
    content = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
    reader, writer = await begin_put(house, len(content))
    stopping = asyncio.ensure_future(house.stop())
    async with asyncio.timeout(10):
        assert await idle_reader.read() == b""
    assert not stopping.done()
    writer.write(content)
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
        await stopping
    with pytest.raises(ConnectionError):
        await house.raw()
    for each in (idle_writer, writer):
        each.transport.abort()


@on_both_servers
async def test_a_client_that_reads_slowly_gets_all_though_it_takes_longer_than_an_idle_connection_may_last(
    make_house: MakeHouse,
) -> None:
    house = await make_house(Limits(keep_alive_seconds=1, drain_seconds=0.2))
    content = json.dumps({"schemaVersion": 2, "annotations": {"x": "y" * 1_500_000}}).encode()
    assert (await house.http.put(MANIFEST, content=content, headers=house.bearer() | INDEX)).status_code == 201
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", house.port))
    authorization = house.bearer()["Authorization"]
    await loop.sock_sendall(
        client, f"GET {MANIFEST} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n".encode()
    )
    began, received = loop.time(), b""
    while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < len(content):
        piece = await loop.sock_recv(client, 100_000)
        assert piece, f"closed after {len(received)} bytes and {loop.time() - began:.1f} s"
        received += piece
        # The size of a piece differs, so the pause does, too: about four seconds in all.
        await asyncio.sleep(len(piece) / 400_000)
    assert loop.time() - began > 2
    client.close()


@on_both_servers
async def test_a_head_that_comes_a_byte_at_a_time_is_given_up(make_house: MakeHouse) -> None:
    house = await make_house(Limits(keep_alive_seconds=0.5, drain_seconds=0.2))
    reader, writer = await house.raw()
    ended = asyncio.ensure_future(reader.read())
    async with asyncio.timeout(10):
        while not ended.done():
            writer.write(b"G")
            await asyncio.wait([ended], timeout=0.1)
    # With a status, or by a reset.
    assert ended.exception() is not None or b" 200 " not in ended.result()
    writer.transport.abort()


def test_a_socket_of_an_earlier_process_is_replaced_and_another_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as earlier:
        earlier.bind(str(path))
    with listening([f"unix:{path}"]) as sockets:
        assert [each.family for each in sockets] == [socket.AF_UNIX]
    path.unlink()
    path.write_text("mine")
    with pytest.raises(OSError, match="in use"), listening([f"unix:{path}"]):
        pass
    assert path.read_text() == "mine"


def test_an_inherited_socket_listens_and_others_are_bound(tmp_path: Path) -> None:
    inherited = socket.create_server(("127.0.0.1", 0))
    port = inherited.getsockname()[1]
    with listening([f"fd://{inherited.detach()}", "127.0.0.1:0", f"unix:{tmp_path}/s"]) as sockets:
        assert sockets[0].getsockname()[1] == port
        assert stat.S_ISSOCK((tmp_path / "s").stat().st_mode)
        for each in sockets[:2]:
            socket.create_connection(each.getsockname()).close()


async def test_a_server_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, house: House) -> None:
    for name in list(sys.modules):
        if name.startswith("gateway.servers.granian"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "granian", None)
    with pytest.raises(StartError, match=r"roadstead\[granian\]"):
        await serve_http(house.app, GatewaySettings(server="granian", listen=()), asyncio.Event().wait)


@pytest.mark.parametrize("server", ["granian"], indirect=True)
async def test_a_connection_without_requests_is_counted_until_it_is_closed(house: House) -> None:
    ends = [await house.raw() for _ in range(5)]
    await wait_until_async(lambda: house.app.connections.count, "five", wanted=lambda count: count >= 5, seconds=10)
    for _, writer in ends:
        writer.close()
        await writer.wait_closed()
    await wait_until_async(lambda: house.app.connections.count, "none", wanted=lambda count: count == 0, seconds=10)
