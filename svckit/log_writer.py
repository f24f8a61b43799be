"""Writes log lines on a thread of its own, many with one system call. It can render them there as well."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

MOST_WAITING_BYTES = 8 * 1024 * 1024
"""How much may wait for a reader that is slow."""
_RESERVED_BYTES = 1024 * 1024
# At 300 lines in a second, a thread that wakes up after 10 ms costs 25 microseconds more for each line.
_GATHER_SECONDS = 0.05
_BATCH_BYTES = 64 * 1024

Render = Callable[[Sequence[Any]], bytes]
"""Makes lines of records, each with its newline."""

# What renders it, None for a line; the record, or the line; and how many bytes it takes.
_Entry = tuple[Render | None, Any, int]


class LineWriter:
    """Writes lines to a file descriptor, in the order in which they come.

    Neither `put` nor `put_later` waits: a program that does not read our standard error must not stop the service. Its
    lines wait in memory, up to a limit. Beyond that, lines are dropped and counted; a last part is reserved for
    important lines. As soon as the reader goes on, a line says how many are missing, where they are missing.

    A line waits for 50 milliseconds at most before it is written, and an important one does not. A process that is
    killed loses what waits. A process that ends by itself loses nothing: `close` writes all, and `logging` calls it at
    the exit.

    Attributes:
        lost_lines: how many lines have been dropped since the start.
    """

    def __init__(
        self,
        descriptor: int,
        describe_loss: Callable[[int], bytes],
        *,
        most_waiting_bytes: int = MOST_WAITING_BYTES,
        reserved_bytes: int = _RESERVED_BYTES,
    ) -> None:
        """Starts the thread.

        Args:
            descriptor: where to write. It is not closed.
            describe_loss: the line that says how many lines are missing.
            most_waiting_bytes: how much may wait.
            reserved_bytes: how much more may wait of important lines.
        """
        self._descriptor = descriptor
        self._describe_loss = describe_loss
        self._most_waiting_bytes = most_waiting_bytes
        self._reserved_bytes = reserved_bytes
        # Reentrant: a destructor or a signal handler that runs inside `put` may log.
        self._lock = threading.RLock()
        self._written = threading.Condition(self._lock)
        self._entries: deque[_Entry] = deque()
        self._waiting_bytes = 0
        self._missing = 0
        self.lost_lines = 0
        self._something = threading.Event()
        self._hurry = threading.Event()
        self._is_closed = False
        self._is_stuck = False
        # A daemon thread: a blocked write must not keep the process from exiting.
        threading.Thread(target=self._write_all, name="log-writer", daemon=True).start()

    def put(self, line: bytes, *, is_important: bool = False) -> None:
        """Takes a line, with its newline. After `close`, it is written at once.

        Args:
            line: the line.
            is_important: whether it may use the reserved memory, and is written without delay.
        """
        self._put((None, line, len(line)), is_important=is_important)

    def put_later(self, render: Render, record: object, size_bytes: int) -> None:
        """Takes a record that becomes a line when it is written. Nothing in it may change any more.

        Records that come one after the other are rendered together, by the thread that writes.

        Args:
            render: makes the lines.
            record: the record.
            size_bytes: how much memory it takes, about.
        """
        self._put((render, record, size_bytes), is_important=False)

    def _put(self, entry: _Entry, *, is_important: bool) -> None:
        if self._is_closed:
            if not self._is_stuck:
                _write(self._descriptor, self._rendered([entry]))
            return
        limit = self._most_waiting_bytes + (self._reserved_bytes if is_important else 0)
        with self._lock:
            if self._waiting_bytes + entry[2] > limit:
                self._missing += 1
                self.lost_lines += 1
                self._something.set()  # the thread says that it is missing, also if no other line comes
                return
            if self._missing:
                # Lines were dropped, and there is room again: here they are missing.
                self._note_loss()
            self._entries.append(entry)
            self._waiting_bytes += entry[2]
        if is_important:
            self._hurry.set()
        if not self._something.is_set():
            self._something.set()

    def flush(self, timeout_seconds: float) -> bool:
        """Waits until all lines so far, and how many are missing, are written.

        Returns:
            whether they are; not if the reader is too slow.
        """
        self._hurry.set()
        with self._written:
            return self._written.wait_for(lambda: not self._waiting_bytes and not self._missing, timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        """Flushes, and ends the thread.

        Lines that come later are written at once, by the thread that logs them; they are dropped if the reader was too
        slow for the lines before them.
        """
        self._is_stuck = not self.flush(timeout_seconds)
        self._is_closed = True
        self._something.set()

    def _note_loss(self) -> None:
        line = self._describe_loss(self._missing)
        self._missing = 0
        self._entries.append((None, line, len(line)))
        self._waiting_bytes += len(line)
        self._something.set()

    def _write_all(self) -> None:
        while not self._is_closed:
            self._something.wait()
            # The lines of the next moment are written together with this one. Without this, the thread would wake up
            # for each line and take time from the event loop.
            self._hurry.wait(_GATHER_SECONDS)
            self._hurry.clear()
            self._something.clear()
            while taken := self._take():
                _write(self._descriptor, self._rendered(taken))
                with self._written:
                    self._waiting_bytes -= sum([size_bytes for _, _, size_bytes in taken])
                    self._written.notify_all()

    def _take(self) -> list[_Entry]:
        """The next lines, up to a limit. They count as waiting until they are written."""
        taken: list[_Entry] = []
        size = 0
        with self._lock:
            if self._missing and not self._entries:
                self._note_loss()  # the last lines before a pause were dropped
            while self._entries and size < _BATCH_BYTES:
                entry = self._entries.popleft()
                taken.append(entry)
                size += entry[2]
        return taken

    def _rendered(self, entries: Sequence[_Entry]) -> bytes:
        parts: list[bytes] = []
        for render, group in groupby(entries, key=itemgetter(0)):
            contents = [content for _, content, _ in group]
            if render is None:
                parts += contents
                continue
            try:
                parts.append(render(contents))
            except Exception:
                # One that cannot be rendered must take no others with it.
                parts += [self._rendered_alone(render, content) for content in contents]
        return b"".join(parts)

    def _rendered_alone(self, render: Render, record: object) -> bytes:
        try:
            return render([record])
        except Exception:
            # A line that cannot be rendered must not end the thread.
            with self._lock:
                self._missing += 1
                self.lost_lines += 1
            return b""


def _write(descriptor: int, data: bytes) -> None:
    # os.write and not a file object: a blocked thread would hold its lock when the interpreter exits.
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            # Whoever shares the pipe with us has made it non-blocking.
            select.select([], [descriptor], [])
        except OSError:
            return  # the reader is gone, so the error cannot be reported; the service goes on
