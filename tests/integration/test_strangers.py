"""A table of attacks by strangers, and by one logged-in caller, on a running installation.

While each attack goes on, a logged-in caller's small requests stay quick, health answers, and no process grows much.
All of it stays on this machine, and each attack ends with its test.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import h2.config
import h2.connection
import httpx
import pytest

from tests.harness.images import OCI_MANIFEST
from tests.harness.installation import Installation, running_installation
from tests.harness.plain_http import NO_TLS
from tests.harness.repository import EMPTY_CONFIG, Repository, dumped, open_repository, token_for
from tests.harness.workspace import Management

MEBIBYTE = 1024 * 1024
GROWTH_BYTES = 150 * MEBIBYTE
SLOWEST_SECONDS = 1.0
# How long the requests of the logged-in caller go on during each attack.
WATCHED_SECONDS = 2.0
LARGEST = 4 * MEBIBYTE


@dataclass
class Target:
    """What is attacked.

    Attributes:
        port: of the gateway.
        repository: in a public project, with a manifest `latest`.
        blob: the path of a blob of 16 MiB in it.
        token: of its owner.
        anonymous: a token that anybody gets.
        watcher: the token of somebody else, who is logged in.
    """

    installation: Installation
    port: int
    repository: Repository
    blob: str
    token: str
    anonymous: str
    watcher: str
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def manifest(self) -> str:
        return f"{self.repository.path}/manifests/attack"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        client = socket.socket()
        # The system takes little of an answer that is not read.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=client, limit=16 * 1024)
        self.open.append(writer)
        return reader, writer

    async def send(self, count: int, head: str, body: bytes = b"") -> None:
        """Opens connections and sends a request on each, without reading its answer."""
        data = head.encode() + body

        async def one() -> None:
            try:
                _, writer = await self.connect()
                writer.write(data)
                async with asyncio.timeout(WATCHED_SECONDS):
                    await writer.drain()
            except (OSError, TimeoutError):
                # Refusing is what the gateway may do.
                return

        await asyncio.gather(*(one() for _ in range(count)))

    async def send_http2(self, count: int, act: Callable[[h2.connection.H2Connection], None]) -> None:
        """Opens HTTP/2 connections, and sends what `act` makes of each."""
        for _ in range(count):
            client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
            client.initiate_connection()
            act(client)
            _, writer = await self.connect()
            writer.write(client.data_to_send())

    def close(self) -> None:
        for writer in self.open:
            writer.transport.abort()
        self.open.clear()


def head(method: str, path: str, *fields: str) -> str:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *fields, "", ""])


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


def http2_head(target: Target, path: str, token: str) -> list[tuple[str, str]]:
    names = {":method": "GET", ":scheme": "http", ":authority": "x", ":path": path}
    return [*names.items(), ("authorization", f"Bearer {token}")]


Attack = Callable[[Target], Awaitable[None]]
LENGTH = f"Content-Length: {LARGEST}"


async def unread_bodies(target: Target) -> None:
    await target.send(300, head("PUT", target.manifest, bearer("x.y.z"), LENGTH), b" " * (LARGEST - 1))


async def bodies_with_a_token_that_anybody_gets(target: Target) -> None:
    await target.send(300, head("PUT", target.manifest, bearer(target.anonymous), LENGTH), b" " * (LARGEST - 1))


async def bodies_of_one_token_that_never_end(target: Target) -> None:
    await target.send(100, head("PUT", target.manifest, bearer(target.token), LENGTH), b" " * (LARGEST - 1))


async def forms_that_never_end(target: Target) -> None:
    form = "Content-Type: application/x-www-form-urlencoded"
    await target.send(500, head("POST", "/service/token", form, "Content-Length: 1000"), b"g")


async def slow_readers_of_a_public_blob(target: Target) -> None:
    await target.send(300, head("GET", target.blob, bearer(target.anonymous)))


async def slow_readers_without_a_window(target: Target) -> None:
    def act(client: h2.connection.H2Connection) -> None:
        for stream in range(1, 41, 2):
            client.send_headers(stream, http2_head(target, target.blob, target.anonymous), end_stream=True)

    await target.send_http2(20, act)


async def dripping_uploads_of_one_token(target: Target) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{target.port}", verify=NO_TLS) as client:
        uploads = f"{target.repository.path}/blobs/uploads/"
        for _ in range(60):
            begun = await client.post(uploads, headers={"Authorization": f"Bearer {target.token}"})
            if begun.status_code == 202:
                location = begun.headers["Location"]
                await target.send(2, head("PATCH", location, bearer(target.token), "Content-Length: 1000000"), b"x")


async def slow_heads(target: Target) -> None:
    await target.send(500, "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")


async def heads_that_never_end(target: Target) -> None:
    await target.send(50, "GET /v2/ HTTP/1.1\r\nHost: x\r\n", b"X-More: 0123456789\r\n" * 100_000)


async def idle_connections(target: Target) -> None:
    await target.send(900, "")


async def rapid_resets(target: Target) -> None:
    def act(client: h2.connection.H2Connection) -> None:
        for stream in range(1, 600, 2):
            client.send_headers(stream, http2_head(target, "/v2/", target.token), end_stream=True)
            client.reset_stream(stream)

    await target.send_http2(10, act)


async def many_idle_streams(target: Target) -> None:
    def act(client: h2.connection.H2Connection) -> None:
        for stream in range(1, 199, 2):
            fields = http2_head(target, target.manifest, target.anonymous)
            client.send_headers(stream, [(":method", "PUT"), *fields[1:], ("content-length", "1000")])

    await target.send_http2(10, act)


async def json_bombs(target: Target) -> None:
    bomb = b"[" + b"[]," * 1_300_000 + b"[]]"
    fields = (bearer(target.token), f"Content-Type: {OCI_MANIFEST}", f"Content-Length: {len(bomb)}")
    await target.send(8, head("PUT", target.manifest, *fields), bomb)


async def json_of_many_keys(target: Target) -> None:
    bomb = dumped({f"k{number}": 0 for number in range(250_000)})
    fields = (bearer(target.token), f"Content-Type: {OCI_MANIFEST}", f"Content-Length: {len(bomb)}")
    await target.send(8, head("PUT", target.manifest, *fields), bomb)


async def a_thousand_ranges(target: Target) -> None:
    ranges = ",".join(f"{start * 16000}-{start * 16000 + 9}" for start in range(1000))
    await target.send(20, head("GET", target.blob, bearer(target.anonymous), f"Range: bytes={ranges}"))


ATTACKS: tuple[Attack, ...] = (
    unread_bodies,
    bodies_with_a_token_that_anybody_gets,
    bodies_of_one_token_that_never_end,
    forms_that_never_end,
    slow_readers_of_a_public_blob,
    slow_readers_without_a_window,
    dripping_uploads_of_one_token,
    slow_heads,
    heads_that_never_end,
    idle_connections,
    rapid_resets,
    many_idle_streams,
    json_bombs,
    json_of_many_keys,
    a_thousand_ranges,
)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with running_installation(tmp_path_factory.mktemp("strangers") / "data") as installation:
        workspace = Management.of(installation)
        project = workspace.create_project(public=True)
        login = workspace.create_robot(project)
        with open_repository(installation.http_url, login, f"{project}/app") as repository:
            repository.push_blob(EMPTY_CONFIG)
            digest = repository.push_blob(bytes(16 * MEBIBYTE))
            assert repository.put("latest", dumped(repository.manifest())).status_code == 201
            yield Target(
                installation,
                int(installation.http_url.rpartition(":")[2]),
                repository,
                f"{repository.path}/blobs/{digest}",
                str(repository.token),
                token_for(installation.http_url, None, f"repository:{project}/app:pull"),
                token_for(installation.http_url, workspace.create_user(), f"repository:{project}/app:pull"),
            )
        workspace.close()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_an_attack_leaves_memory_and_places_to_the_others(target: Target, attack: Attack) -> None:
    installation = target.installation
    with httpx.Client(base_url=installation.http_url, verify=NO_TLS, timeout=10) as client:
        path = f"{target.repository.path}/manifests/latest"
        known = {"Authorization": f"Bearer {target.watcher}"}
        assert client.get(path, headers=known).status_code == 200
        installation.forget_peaks()
        before = {name: installation.resident_bytes(name) for name in installation.pids()}
        attacking = asyncio.ensure_future(attack(target))
        try:
            # In a thread: the attack keeps this one busy.
            times = await asyncio.to_thread(_requests, client, path, known)
            await attacking
        finally:
            attacking.cancel()
            target.close()
        growth = {name: installation.peak_bytes(name) - before[name] for name in before}
    assert max(growth.values()) < GROWTH_BYTES, growth
    assert sorted(times)[int(len(times) * 0.99)] < SLOWEST_SECONDS


def _requests(client: httpx.Client, path: str, known: dict[str, str]) -> list[float]:
    """Small requests, one after the other, and how long each took."""
    times: list[float] = []
    until = time.monotonic() + WATCHED_SECONDS
    # With fewer, the 99th percentile is the slowest.
    while time.monotonic() < until or len(times) < 300:
        for url, headers in ((path, known), ("/healthz", {}), ("/readyz", {})):
            began = time.monotonic()
            assert client.get(url, headers=headers).status_code == 200, url
            times.append(time.monotonic() - began)
    return times
