"""Clients that move, delete and read tags over HTTP at the same time, and write down what they hear."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext

from tests.harness.images import OCI_MANIFEST
from tests.harness.linearizability.history import History
from tests.harness.repository import Repository, dumped

_CLIENTS = 32
_TAGS = 3
# Writes are slow. Without a limit all clients would wait for one, and nobody would read.
_WRITES_AT_ONCE = 3
_ANSWER_SECONDS = 30.0
# A refused client waits before it goes on. Otherwise it would use up the operations without doing any.
_PAUSE_SECONDS = 0.05


def observe(gateways: Sequence[str], repositories: Sequence[Repository], operations: int, seed: int) -> History:
    """Does so many operations on the tags of some repositories, through all gateways, and returns the history.

    Args:
        gateways: "HOST:PORT" of each.
        repositories: have no tags, but the blobs that their manifests name, and a token.
        operations: how many in all.
        seed: of the choices.
    """
    return asyncio.run(_observe(gateways, repositories, operations, seed))


async def _observe(gateways: Sequence[str], repositories: Sequence[Repository], operations: int, seed: int) -> History:
    history = History()
    numbers = iter(range(operations))
    writing = [asyncio.Semaphore(_WRITES_AT_ONCE) for _ in gateways]

    async def work(client: int) -> None:
        chance = random.Random(f"{seed} {client}")
        gateway = client % len(gateways)
        http = _Client(gateways[gateway])
        with closing(http):
            for number in numbers:
                repository = chance.choice(repositories)
                if not await _operate(http, history, chance, repository, number, writing[gateway]):
                    await asyncio.sleep(_PAUSE_SECONDS)

    await asyncio.gather(*(work(client) for client in range(_CLIENTS)))
    return history


class _Client:
    """One connection, made again where it breaks. Simple, so that the clients do not keep the registry waiting."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, method: str, path: str, token: str, content: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body. The status is 0 if there is no answer."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._request(method, path, token, content)
        except (OSError, EOFError, TimeoutError):
            self.close()
            return 0, {}, b""

    async def _request(
        self, method: str, path: str, token: str, content: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._streams is None:
            name, _, port = self._host.partition(":")
            self._streams = await asyncio.open_connection(name, int(port))
        reader, writer = self._streams
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"Authorization: Bearer {token}"]
        if content:
            lines += [f"Content-Type: {OCI_MANIFEST}", f"Content-Length: {len(content)}"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        size = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
        body = await reader.readexactly(size)
        if headers.get("connection") == "close":
            self.close()
        return int(status.split()[1]), headers, body

    def close(self) -> None:
        """Closes the connection. The next request makes another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _operate(
    http: _Client,
    history: History,
    chance: random.Random,
    repository: Repository,
    number: int,
    writing: asyncio.Semaphore,
) -> bool:
    path = f"{repository.path}/manifests/tag-{chance.randrange(_TAGS)}"
    kind = chance.choices(["GET", "HEAD", "PUT", "DELETE"], [65, 15, 16, 4])[0]
    async with writing if kind in ("PUT", "DELETE") else nullcontext():
        return await _operate_now(http, history, kind, path, repository, number)


async def _operate_now(
    http: _Client, history: History, kind: str, path: str, repository: Repository, number: int
) -> bool:
    called = time.monotonic()
    match kind:
        case "PUT":
            content = dumped(repository.manifest(annotations={"number": str(number)}))
            digest = _digest(content)
            status, _, _ = await http.request("PUT", path, repository.token, content)
            if status == 201:
                history.wrote(path, digest, called)
                return True
            history.lost("write", path, digest, called)
        case "DELETE":
            status, _, _ = await http.request("DELETE", path, repository.token)
            if status in (202, 404):
                history.deleted(path, called, found=status == 202)
                return True
            history.lost("delete", path, None, called)
        case method:
            status, headers, body = await http.request(method, path, repository.token)
            if status == 200:
                history.read(path, headers["docker-content-digest"], called)
                # The bytes belong to the digest, wherever they came from.
                assert method == "HEAD" or _digest(body) == headers["docker-content-digest"]
                return True
            if status == 404:
                history.read(path, None, called)
                return True
    # Without an answer, or with 503, nobody knows whether it had its effect. Nothing else is expected.
    assert status in (0, 503), status
    return False


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
