"""What tests of uploads need whose bytes go from the socket into the file: a client, and a record of what was moved."""

import asyncio
import random
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest

from gateway.servers.hypercorn.handover import HeldBody
from tests.unit.gateway.conftest import REPOSITORY, House

MIB = 1024 * 1024
CONTENT = random.Random(11).randbytes(24 * MIB + 7)
USUAL = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


class Moves:
    """What went from sockets into files."""

    def __init__(self) -> None:
        self.bytes: list[int] = []
        self.waits = 0
        self.sockets: list[socket.socket] = []

    @property
    def total(self) -> int:
        return sum(self.bytes)


def watch_moves(monkeypatch: pytest.MonkeyPatch) -> Moves:
    """Notes what is moved from now on."""
    seen, give_back, wait = Moves(), HeldBody.give_back, HeldBody.wait

    async def note(self: HeldBody) -> None:
        seen.bytes.append(self.moved_bytes)
        if self._socket is not None:
            seen.sockets.append(self._socket)
        await give_back(self)

    async def note_wait(self: HeldBody) -> bool:
        seen.waits += 1
        return await wait(self)

    monkeypatch.setattr(HeldBody, "give_back", note)
    monkeypatch.setattr(HeldBody, "wait", note_wait)
    return seen


class Upload:
    """One upload over a connection of its own."""

    begun: ClassVar[list["Upload"]] = []

    def __init__(self, house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, location: str) -> None:
        self.house, self.reader, self.writer, self.location = house, reader, writer, location

    @classmethod
    async def begin(cls, house: House) -> "Upload":
        begun = await house.http.post(f"/v2/{REPOSITORY}/blobs/uploads/", headers=house.bearer())
        upload = cls(house, *await house.raw(), begun.headers["Location"])
        cls.begun.append(upload)
        return upload

    def head(self, *headers: str) -> bytes:
        lines = [f"PATCH {self.location} HTTP/1.1", "Host: x", *headers]
        lines.append(f"Authorization: {self.house.bearer()['Authorization']}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> bytes:
        """The status line of the next answer."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\ncontent-length: *([0-9]+)", head)
            await self.reader.readexactly(int(length[1]) if length else 0)
            return head.partition(b"\r\n")[0]

    async def end(self) -> None:
        """Returns when the gateway has closed the connection."""
        # It may be closed while the client sends.
        with suppress(ConnectionError):
            async with asyncio.timeout(20):
                while await self.reader.read(65536):
                    pass

    async def status(self) -> str:
        answer = await self.house.http.get(self.location, headers=self.house.bearer())
        return answer.headers["Range"]

    @classmethod
    def close_all(cls) -> None:
        """Closes the connections of all."""
        for upload in cls.begun:
            upload.writer.transport.abort()
        cls.begun.clear()

    @property
    def file(self) -> Path:
        return self.house.blobsvc.staged[-1]


def chunks(content: bytes, sizes: Callable[[], int]) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        piece = content[at : at + sizes()]
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
        at += len(piece)


def is_same(found: bytes, sent: bytes) -> bool:
    """Compared here: pytest takes minutes to show where bytes of this size differ."""
    return found == sent
