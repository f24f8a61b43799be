"""The supervisor's output to standard error: its own log lines, and the lines of its children under their names."""

import asyncio
import contextlib
import json
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

Level = Literal["info", "warning", "error"]

_PIECES_WAITING = 64
_PIECE_BYTES = 64 * 1024
_NAME_WIDTH = 9


class Console:
    """Writes all lines, on a thread of its own.

    The program that reads our standard error may stop reading. A write then blocks. Only this thread blocks, and, when
    the queue is full, the output of the children. The supervisor goes on and still handles SIGTERM.

    The lines have the same form as those of svckit.logging. That module is not used here, because it would take a third
    of the supervisor's memory.
    """

    def __init__(self, descriptor: int, *, pretty: bool) -> None:
        """Starts the thread.

        Args:
            descriptor: the file descriptor to write to.
            pretty: lines for people, with the name of the child in front; otherwise one JSON object on each line.
        """
        self.pretty = pretty
        self._descriptor = descriptor
        self._pieces: queue.SimpleQueue[tuple[bytes, Callable[[], None] | None]] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(_PIECES_WAITING)
        # A daemon thread: a blocked write must not keep the process from exiting.
        threading.Thread(target=self._write_all, name="console", daemon=True).start()

    def log(self, level: Level, event: str, **fields: Any) -> None:
        """Writes a line of the supervisor's own. There are few of them, so the queue needs no limit for them."""
        time = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if self.pretty:
            known = "".join(f" {name}={value}" for name, value in fields.items())
            line = f"{_label('roadstead')}{time} [{level}] {event}{known}"
        else:
            line = json.dumps({**fields, "event": event, "level": level, "timestamp": time, "service": "roadstead"})
        self._pieces.put((line.encode() + b"\n", None))

    async def relay(self, name: str, reader: asyncio.StreamReader, tail: deque[str]) -> None:
        """Copies a child's output, line by line, until it ends. `tail` keeps the last lines."""
        rest = b""
        while data := await reader.read(_PIECE_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) >= _PIECE_BYTES:
                lines, rest = [*lines, rest], b""
            await self._relay_lines(name, lines, tail)
        await self._relay_lines(name, [rest] if rest else [], tail)

    def flush(self, timeout_seconds: float) -> None:
        """Waits until all lines so far are written, at most `timeout_seconds`."""
        done = threading.Event()
        self._pieces.put((b"", done.set))
        done.wait(timeout_seconds)

    async def _relay_lines(self, name: str, lines: list[bytes], tail: deque[str]) -> None:
        if not lines:
            return
        tail.extend(line.decode(errors="replace") for line in lines)
        await self._room.acquire()
        loop = asyncio.get_running_loop()
        self._pieces.put(
            (b"".join(self._format(name, line) for line in lines), lambda: _call_in(loop, self._room.release))
        )

    def _format(self, name: str, line: bytes) -> bytes:
        if self.pretty:
            return _label(name).encode() + line + b"\n"
        if line.startswith(b"{") and line.endswith(b"}"):
            return line + b"\n"  # a service's own line, which names the service
        # The interpreter or a library wrote this without the log, such as a traceback at the start.
        return json.dumps({"event": line.decode(errors="replace"), "level": "error", "service": name}).encode() + b"\n"

    def _write_all(self) -> None:
        while True:
            piece, written = self._pieces.get()
            # os.write and not a file object: a blocked thread would hold its lock when the interpreter exits.
            try:
                while piece:
                    piece = piece[os.write(self._descriptor, piece) :]
            except OSError:
                pass  # the reader is gone, so the error cannot be reported; the children go on
            if written is not None:
                written()


def _label(name: str) -> str:
    return f"{name:{_NAME_WIDTH}} | "


def _call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    # The loop may be closed already. Then nothing waits for the callback.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
