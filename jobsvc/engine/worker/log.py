"""The log of one run: lines that wait until they are sent."""

from __future__ import annotations

import sys
from collections import deque
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING

from svckit.redaction import scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PIECE_BYTES = 64 * 1024
"""The most bytes of a piece. The contract has the same bound."""

_LONGEST_LINE_BYTES = 16 * 1024
# Reached only while jobsvc is away, or by a handler that writes faster than lines can be sent.
_WAITING_BYTES = 512 * 1024


class RunLog:
    """See `jobsvc.engine.worker.task.TaskLog`. Lines wait in memory until `sent`."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Starts empty.

        Args:
            now: tells the time.
        """
        self._now = now
        self._lines: deque[bytes] = deque()
        self._lines_bytes = 0
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._pieces_bytes = 0
        self._next_sequence = 0
        self._left_out = 0

    @property
    def waiting_bytes(self) -> int:
        """How much waits."""
        return self._lines_bytes + self._pieces_bytes

    def debug(self, message: str) -> None:
        """See `TaskLog`."""
        self._write("DEBUG", message)

    def info(self, message: str) -> None:
        """See `TaskLog`."""
        self._write("INFO", message)

    def warning(self, message: str) -> None:
        """See `TaskLog`."""
        self._write("WARNING", message)

    def error(self, message: str) -> None:
        """See `TaskLog`."""
        self._write("ERROR", message)

    def waiting(self, most_bytes: int) -> Sequence[tuple[int, bytes]]:
        """The next pieces to send, with their sequence numbers. They are the same until they are `sent`."""
        while self._lines and self._pieces_bytes < most_bytes:
            self._cut()
        chosen: list[tuple[int, bytes]] = []
        size = 0
        for sequence, text in self._pieces:
            if chosen and size + len(text) > most_bytes:
                break
            chosen.append((sequence, text))
            size += len(text)
        return chosen

    def sent(self, last_sequence: int) -> None:
        """Forgets the pieces up to this one."""
        while self._pieces and self._pieces[0][0] <= last_sequence:
            _, text = self._pieces.popleft()
            self._pieces_bytes -= len(text)
        if self._left_out and not self.waiting_bytes:
            count, self._left_out = self._left_out, 0
            self._add(self._line("WARNING", f"{count} lines are left out here, because they could not be sent.", 1))

    def _write(self, level: str, message: str) -> None:
        line = self._line(level, message, 3)
        if self.waiting_bytes + len(line) > _WAITING_BYTES:
            self._left_out += 1
        else:
            self._add(line)

    def _line(self, level: str, message: str, depth: int) -> bytes:
        frame = sys._getframe(depth)  # noqa: SLF001 - as logging does it; there is no public way
        place = "/".join(PurePath(frame.f_code.co_filename).parts[-2:])
        time = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        # Lines of a message go on behind a space, so that none of them looks like one that the program has written.
        text = "\n ".join(scrub(message).splitlines()) or "-"
        line = f"{time} [{level}] [{place}:{frame.f_lineno}]: {text}".encode(errors="replace")
        return line[:_LONGEST_LINE_BYTES].decode(errors="ignore").encode() + b"\n"

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        self._lines_bytes += len(line)

    def _cut(self) -> None:
        """Makes a piece of the first lines."""
        taken: list[bytes] = []
        size = 0
        while self._lines and size + len(self._lines[0]) <= PIECE_BYTES:
            taken.append(self._lines.popleft())
            size += len(taken[-1])
        self._lines_bytes -= size
        self._pieces_bytes += size
        self._pieces.append((self._next_sequence, b"".join(taken)))
        self._next_sequence += 1
