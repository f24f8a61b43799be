"""Runs an attack in a process of its own, again and again until it is stopped."""

import asyncio
import multiprocessing
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from tests.harness.waiting import wait_until

# An attack that only holds what it has opened opens it again after so long.
HOLD_SECONDS = 1.0
_ANSWER_SECONDS = 10.0
# Attackers come from these addresses of this machine.
_ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
_SMALL_BYTES = 16 * 1024
_spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Target:
    """What is attacked.

    Attributes:
        port: of the gateway.
        tls_port: of a gateway that serves HTTPS.
        grpc_ports: by service.
        name: of a repository in a public project, with manifests `latest` and `large`.
        digest: of a blob of 16 MiB in it.
        token: of its owner.
        anonymous: a token that anybody gets.
    """

    port: int
    tls_port: int
    grpc_ports: Mapping[str, int]
    name: str
    digest: str
    token: str
    anonymous: str

    @property
    def path(self) -> str:
        """The path of the repository."""
        return f"/v2/{self.name}"

    @property
    def blob(self) -> str:
        """The path of the blob."""
        return f"{self.path}/blobs/{self.digest}"

    @property
    def manifest(self) -> str:
        """The path of a manifest that is not there."""
        return f"{self.path}/manifests/attack"


class Attacker:
    """The connections of one attack.

    Attributes:
        target: what it attacks.
    """

    def __init__(self, target: Target, acts: Any) -> None:
        """Counts in `acts`, a shared number, what it has begun."""
        self.target = target
        self._acts = acts
        self._open: list[asyncio.StreamWriter] = []
        self._addresses = cycle(_ADDRESSES)

    def count(self) -> None:
        """Counts one thing that was begun."""
        self._acts.value += 1

    async def connect(
        self, port: int | None = None, tls: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Opens a connection, by default to the gateway. The system takes little of an answer that is not read."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BYTES)
        client.setblocking(False)
        try:
            client.bind((next(self._addresses), 0))
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port or self.target.port))
            name = None if tls is None else "127.0.0.1"
            reader, writer = await asyncio.open_connection(
                sock=client, limit=_SMALL_BYTES, ssl=tls, server_hostname=name
            )
        except BaseException:
            client.close()
            raise
        self._open.append(writer)
        return reader, writer

    async def hold(self, count: int, data: bytes, port: int | None = None, tls: ssl.SSLContext | None = None) -> None:
        """Opens connections and sends the same on each. All stay open for a while, and no answer is read."""
        await asyncio.gather(*(self._begin(data, port, tls) for _ in range(count)))
        await asyncio.sleep(HOLD_SECONDS)

    async def ask(self, count: int, data: bytes, port: int | None = None) -> None:
        """Sends the same request on many connections, and waits for the beginning of each answer."""
        await asyncio.gather(*(self._ask(data, port) for _ in range(count)))

    def close(self) -> None:
        """Closes all connections at once."""
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _begin(
        self, data: bytes, port: int | None, tls: ssl.SSLContext | None = None
    ) -> asyncio.StreamReader | None:
        # Refusing is what the server may do.
        with suppress(OSError, TimeoutError):
            reader, writer = await self.connect(port, tls)
            self.count()
            writer.write(data)
            async with asyncio.timeout(HOLD_SECONDS):
                await writer.drain()
            return reader
        return None

    async def _ask(self, data: bytes, port: int | None) -> None:
        reader = await self._begin(data, port)
        if reader is not None:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await reader.read(1)


Attack = Callable[[Attacker], Awaitable[None]]


class Running:
    """An attack that is under way."""

    def __init__(self, process: Any, acts: Any, rounds: Any) -> None:
        """Made by `attacking`."""
        self._process = process
        self._acts = acts
        self._rounds = rounds

    @property
    def pid(self) -> int:
        """The id of its process."""
        return int(self._process.pid)

    @property
    def acts(self) -> int:
        """How many requests or connections it has begun."""
        return int(self._acts.value)

    @property
    def rounds(self) -> int:
        """How often it has been run to its end."""
        return int(self._rounds.value)

    def has_begun(self) -> bool:
        """Whether it has begun anything. Fails if it has ended."""
        self.check()
        return self.acts > 0

    def check(self) -> None:
        """Fails if it does not go on."""
        assert self._process.is_alive(), f"the attack has ended with {self._process.exitcode}"


@contextmanager
def attacking(attack: Attack, target: Target) -> Iterator[Running]:
    """Runs an attack inside the block. When the block begins, the attack has begun."""
    acts, rounds = _spawn.Value("q", 0), _spawn.Value("q", 0)
    process = _spawn.Process(target=_run, args=(attack, target, acts, rounds), daemon=True)
    process.start()
    running = Running(process, acts, rounds)
    try:
        wait_until(running.has_begun, "the attack to begin", wanted=bool, seconds=60)
        yield running
        running.check()
    finally:
        # Its connections break, as if its machine had failed.
        process.kill()
        process.join()
        process.close()


def _run(attack: Attack, target: Target, acts: Any, rounds: Any) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_repeat(attack, Attacker(target, acts), rounds))


async def _repeat(attack: Attack, attacker: Attacker, rounds: Any) -> None:
    while True:
        await attack(attacker)
        attacker.close()
        rounds.value += 1
