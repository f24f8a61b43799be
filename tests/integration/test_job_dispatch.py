"""Replicas of jobsvc wake each other through a real Valkey, and go on without it and with another one."""

import asyncio
import logging
import os
import signal
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobsvc.engine.dispatch.address import RedisAddress
from jobsvc.engine.dispatch.redis import RedisAnnouncer
from jobsvc.engine.domain.wakes import Wakes
from svckit.metrics import Metrics
from tests.harness.certificates import Authority
from tests.harness.ports import free_ports
from tests.harness.valkey import Valkey, running_valkey
from tests.harness.waiting import wait_until_async

KINDS = ("COLLECTION", "SWEEP")
# A wake-up takes a millisecond. Waiting claims look by themselves only after a second, but nothing does so here.
SECONDS = 30.0


class Replica:
    """One replica: an announcer, and a claim that waits for one kind."""

    def __init__(self, url: str) -> None:
        self.metrics = Metrics("jobsvc")
        self.wakes = Wakes()
        self.announcer = RedisAnnouncer(RedisAddress.parse(url), self.wakes, KINDS, self.metrics)
        self.waiting = self.wakes.waiting({"COLLECTION"})
        self.others = self.wakes.waiting({"SWEEP"})

    async def woken(self) -> None:
        """Returns when the claim was woken."""
        async with asyncio.timeout(SECONDS):
            await self.waiting.woken()

    @property
    def is_away(self) -> bool:
        """What its metric says."""
        return b'jobsvc_redis_ok{service="jobsvc"} 0.0' in self.metrics.render()

    def count(self, direction: str) -> int:
        """How many messages it has sent or received."""
        name = f'jobsvc_wake_messages_total{{direction="{direction}",service="jobsvc"}} '
        [line] = [line for line in self.metrics.render().decode().splitlines() if line.startswith(name)]
        return int(float(line.removeprefix(name)))


@asynccontextmanager
async def replicas(url: str, *, are_connected: bool = True) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas; each has been woken once if it is connected, which is forgotten."""
    both = Replica(url), Replica(url)
    running = [asyncio.ensure_future(each.announcer.run()) for each in both]
    try:
        with both[0].waiting, both[0].others, both[1].waiting, both[1].others:
            if are_connected:
                for each in both:
                    await each.woken()
                    await each.others.woken()
            yield both
    finally:
        for work in running:
            work.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, because paths of unix sockets are bounded."""
    with tempfile.TemporaryDirectory(prefix="rs-", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture
def valkey(folder: Path) -> Iterator[Valkey]:
    """A server on a unix socket."""
    with running_valkey(folder) as running:
        yield running


async def test_what_one_replica_announces_wakes_the_claims_of_that_kind_in_the_other(valkey: Valkey) -> None:
    async with replicas(valkey.url) as (first, second):
        await first.announcer.announce(["COLLECTION"])
        await second.woken()

        assert not second.others.event.is_set(), "only claims of the kind are woken"
        await wait_until_async(lambda: first.count("received"), "its own message to come back to the first")
        assert not first.waiting.event.is_set(), "it has woken its own claims when it announced"
        assert not first.is_away


async def test_no_message_is_left_out_between_two_reads(valkey: Valkey) -> None:
    async with replicas(valkey.url) as (first, second):
        for number in range(200):
            await first.announcer.announce(["COLLECTION"])
            await second.woken()
            assert second.count("received") == number + 1


async def test_a_stream_stays_short(valkey: Valkey) -> None:
    async with replicas(valkey.url) as (first, second):
        for _ in range(1000):
            await first.announcer.announce(["COLLECTION"])
            await second.woken()

        assert int(valkey.send("XLEN", "roadstead:queue:COLLECTION")[1:].split(b"\r")[0]) < 400


async def test_they_go_on_after_all_was_deleted(valkey: Valkey) -> None:
    async with replicas(valkey.url) as (first, second):
        await first.announcer.announce(["COLLECTION"])
        await second.woken()
        valkey.send("FLUSHALL")

        await first.announcer.announce(["COLLECTION"])
        await second.woken()


async def test_they_go_on_with_a_new_server_after_the_old_one_was_killed(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async with replicas(valkey.url) as (first, second):
        with caplog.at_level(logging.INFO):
            valkey.kill()
            await wait_until_async(lambda: first.is_away and second.is_away, "both to notice")
            # What is announced now is sent later, once for each kind.
            for _ in range(1000):
                await first.announcer.announce(["COLLECTION"])
            # Several attempts to connect fail meanwhile.
            await asyncio.sleep(1.0)
            valkey.start()
            await second.woken()
            await wait_until_async(lambda: not first.is_away and not second.is_away, "both to be connected again")

        lines = [record.message for record in caplog.records if "redis" in record.message]
        assert sum("redis_away" in line for line in lines) == 2, "each says once that it is away"
        assert sum("redis_is_back" in line for line in lines) == 2
        assert first.count("sent") == 1


async def test_a_server_that_is_away_at_the_start_is_found_when_it_comes(folder: Path) -> None:
    valkey = Valkey(folder)
    async with replicas(valkey.url, are_connected=False) as (first, second):
        await wait_until_async(lambda: first.is_away and second.is_away, "both to notice")
        valkey.start()
        try:
            # All are woken when it is there: something may have been announced before.
            await second.woken()
            await wait_until_async(lambda: not first.is_away and not second.is_away, "both to be connected")
            await first.announcer.announce(["COLLECTION"])
            await second.woken()
        finally:
            valkey.kill()


async def test_a_server_that_hangs_is_away(valkey: Valkey) -> None:
    async with replicas(valkey.url) as (first, _):
        os.kill(valkey.pid, signal.SIGSTOP)
        await wait_until_async(lambda: first.is_away, "it to notice")
        os.kill(valkey.pid, signal.SIGCONT)
        await wait_until_async(lambda: not first.is_away, "it to be connected again")


async def test_a_server_that_refuses_writes_is_away_and_says_so_once(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async with replicas(valkey.url) as (first, second):
        with caplog.at_level(logging.INFO):
            valkey.send("CONFIG", "SET", "maxmemory", "1")
            await first.announcer.announce(["COLLECTION"])
            await wait_until_async(lambda: first.is_away, "it to notice")
            await asyncio.sleep(1.0)
            assert sum("redis_away" in record.message for record in caplog.records) == 1
            valkey.send("CONFIG", "SET", "maxmemory", "0")
            await second.woken()


async def test_a_password_is_sent_and_never_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running_valkey(folder, "--requirepass", "hunter2"), caplog.at_level(logging.DEBUG):
        async with replicas(f"unix://:hunter2@{folder}/valkey.sock") as (first, second):
            await first.announcer.announce(["COLLECTION"])
            await second.woken()
        async with replicas(f"unix://:hunter3@{folder}/valkey.sock", are_connected=False):
            # The metric says "away" until the first attempt, so only the line shows that there was one.
            await wait_until_async(
                lambda: any("redis_away" in record.message for record in caplog.records), "it to be refused"
            )

    assert "hunter" not in caplog.text


async def test_it_speaks_tls_and_checks_the_certificate(valkey: Valkey, tmp_path: Path) -> None:
    # The server of the wheel is built without TLS.
    issued = Authority(tmp_path / "authority").issue()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    async with tls_in_front_of(valkey, context) as port:
        async with replicas(f"rediss://127.0.0.1:{port}?ca_file={issued.ca}") as (first, second):
            await first.announcer.announce(["COLLECTION"])
            await second.woken()
        async with replicas(f"rediss://127.0.0.1:{port}", are_connected=False) as (first, _):
            await wait_until_async(lambda: first.is_away, "it to refuse an unknown certificate")


@asynccontextmanager
async def tls_in_front_of(valkey: Valkey, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A port on which TLS is taken off connections to a server."""
    connections: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                writer.write(piece)
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_unix_connection(valkey.socket)
        for work in (pass_on(reader, behind_writer), pass_on(behind_reader, writer)):
            connections.add(asyncio.ensure_future(work))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
        server.close()
        await asyncio.gather(*connections, return_exceptions=True)


async def test_sentinels_say_where_the_server_is(folder: Path) -> None:
    ports = free_ports(3)
    folders = [folder / name for name in ("a", "b", "s")]
    for each in folders:
        each.mkdir()
    first_port, second_port, sentinel_port = map(str, ports)
    tcp = ("--bind", "127.0.0.1", "--port")
    watch = [
        f"port {sentinel_port}",
        "bind 127.0.0.1",
        f"unixsocket {folders[2]}/valkey.sock",
        f"dir {folders[2]}",
        f"sentinel monitor jobs 127.0.0.1 {first_port} 1",
        "sentinel down-after-milliseconds jobs 500",
        "sentinel failover-timeout jobs 2000",
    ]
    with (
        running_valkey(folders[0], *tcp, first_port) as first_server,
        running_valkey(folders[1], *tcp, second_port, "--replicaof", f"127.0.0.1 {first_port}") as second_server,
        running_valkey(folders[2], "--sentinel", configuration=watch) as sentinel,
    ):
        await wait_until_async(lambda: _knows_replica(sentinel), "the sentinel to know the replica")
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel_port}/jobs"
        async with replicas(url) as (first, second):
            await first.announcer.announce(["COLLECTION"])
            await second.woken()
            first_server.kill()
            await wait_until_async(lambda: _is_master(second_server), "a failover")
            await wait_until_async(lambda: not first.is_away and not second.is_away, "both to be connected again")
            second.waiting.event.clear()
            await first.announcer.announce(["COLLECTION"])
            await second.woken()


def _knows_replica(sentinel: Valkey) -> bool:
    return b"slave" in sentinel.send("SENTINEL", "REPLICAS", "jobs")


def _is_master(server: Valkey) -> bool:
    try:
        return b"role:master" in server.send("INFO", "replication")
    except ConnectionError:
        return False  # It drops its clients when its role changes.


def test_the_program_is_in_the_wheel() -> None:
    from ctl.valkey import program

    said = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("Valkey server")
