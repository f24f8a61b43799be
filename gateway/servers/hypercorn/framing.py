"""Where the body of a request ends, and the next request begins."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

import h11

LONGEST_LINE = len(b"\r\n00000000\r\n")
"""The bytes between two usual chunks, at most."""

# What stands between two chunks; before the first one, it has no line break. A number of more digits is no size that a
# client sends.
_BREAK = rb"\r\n"
_SIZE = rb"([0-9A-Fa-f]{1,8})\r\n"
_SIZE_BEGUN = rb"[0-9A-Fa-f]{0,8}|[0-9A-Fa-f]{1,8}\r"
_END, _END_BEGUN = rb"0{1,8}\r\n\r\n", rb"0{1,8}\r\n\r?"


class _Lines(NamedTuple):
    """The lines at one place. The last two are the end of the body."""

    size: re.Pattern[bytes]
    size_begun: re.Pattern[bytes]
    end: re.Pattern[bytes]
    end_begun: re.Pattern[bytes]


_FIRST = _Lines(*map(re.compile, (_SIZE, _SIZE_BEGUN, _END, _END_BEGUN)))
_NEXT = _Lines(
    re.compile(_BREAK + _SIZE),
    re.compile(rb"\r?|\r\n(?:" + _SIZE_BEGUN + rb")"),
    re.compile(_BREAK + _END),
    re.compile(_BREAK + _END_BEGUN),
)

# What h11 must have seen to go on in the middle of a body. The app does not see it.
_HEAD = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
_CHUNK = b"1\r\nx"


class Framing(Protocol):
    """The body of one request."""

    @property
    def fault(self) -> h11.RemoteProtocolError | None:
        """What is wrong with it. Nothing more can be taken then."""

    @property
    def left_bytes(self) -> int:
        """So many of the next bytes belong to the body, as far as is known."""

    @property
    def has_ended(self) -> bool:
        """Whether all of it was taken."""

    @property
    def is_usual(self) -> bool:
        """Whether `pass_by` and `take_line` may be used."""

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Takes what belongs to the body. Returns that, and the rest: too little to tell, or the next request."""

    def take_line(self, data: bytes) -> int | None:
        """Takes the line before a chunk, and returns its length; 0 if more bytes must show what it is.

        None if it is not a usual one, and at the end of the body.
        """

    def pass_by(self, size_bytes: int) -> None:
        """Counts bytes of `left_bytes` that went another way."""


class SizedBody:
    """A body with a length, or none."""

    fault = None
    is_usual = True

    def __init__(self, size_bytes: int) -> None:
        """Takes its length; 0 if there is no body."""
        self.left_bytes = size_bytes

    @property
    def has_ended(self) -> bool:
        """As `Framing` says."""
        return self.left_bytes == 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """As `Framing` says."""
        piece, rest = data[: self.left_bytes], data[self.left_bytes :]
        self.left_bytes -= len(piece)
        return piece, rest

    def take_line(self, data: bytes) -> int | None:
        """As `Framing` says: there are no lines."""
        return None

    def pass_by(self, size_bytes: int) -> None:
        """As `Framing` says."""
        self.left_bytes -= size_bytes


class ChunkedBody:
    """A chunked body.

    Chunks as clients send them are read here: their size, and nothing else. From the first line on that has anything
    else, such as an extension or a trailer, h11 reads the body, and decides what is refused, and how.
    """

    def __init__(self, most_bytes: int) -> None:
        """Begins before the first chunk.

        Args:
            most_bytes: how long an unusual line may be, or all trailers.
        """
        self.fault: h11.RemoteProtocolError | None = None
        self.has_ended = False
        self.left_bytes = 0
        self._most_bytes = most_bytes
        self._lines = _FIRST
        self._unusual: h11.Connection | None = None

    @property
    def is_usual(self) -> bool:
        """As `Framing` says."""
        return self._unusual is None

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """As `Framing` says. All chunks in the data become one piece: they may have one byte each."""
        pieces: list[bytes] = []
        at = 0
        while self._unusual is None:
            if self.left_bytes:
                piece = data[at : at + self.left_bytes]
                pieces.append(piece)
                at += len(piece)
                self.left_bytes -= len(piece)
            if self.left_bytes:
                break
            length = self.take_line(data[at : at + LONGEST_LINE])
            if length is not None:
                at += length
            elif end := self._lines.end.match(data, at):
                self.has_ended = True
                at = end.end()
            elif not self._lines.end_begun.fullmatch(data, at):
                self._unusual = self._begin_unusual()
            if not length:
                break
        rest = data[at:]
        if self._unusual is not None:
            rest = self._take_unusual(self._unusual, rest, pieces)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), rest

    def take_line(self, data: bytes) -> int | None:
        """As `Framing` says."""
        match = self._lines.size.match(data)
        if match is None:
            return 0 if self._lines.size_begun.fullmatch(data) else None
        size_bytes = int(match[1], 16)
        if not size_bytes:
            return None
        self._lines = _NEXT
        self.left_bytes = size_bytes
        return match.end()

    def pass_by(self, size_bytes: int) -> None:
        """As `Framing` says."""
        self.left_bytes -= size_bytes

    def _begin_unusual(self) -> h11.Connection:
        unusual = h11.Connection(h11.SERVER, max_incomplete_event_size=self._most_bytes)
        unusual.receive_data(_HEAD)
        unusual.next_event()
        if self._lines is _NEXT:
            unusual.receive_data(_CHUNK)
            unusual.next_event()
        return unusual

    def _take_unusual(self, unusual: h11.Connection, data: bytes, pieces: list[bytes]) -> bytes:
        if data:
            unusual.receive_data(data)
        try:
            while isinstance(event := unusual.next_event(), h11.Data):
                pieces.append(bytes(event.data))
        except h11.RemoteProtocolError as error:
            self.fault = error
            return b""
        self.has_ended = isinstance(event, h11.EndOfMessage)
        return unusual.trailing_data[0] if self.has_ended else b""
