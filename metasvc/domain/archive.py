"""Finds a file in an archive that comes in pieces: a tar file, compressed by gzip or not, within bounds.

An archive is what anybody has pushed. A few KiB of it may stand for terabytes, claim sizes that are not so, or never
end. So nothing is believed and everything is counted: what comes out of the decompression, in steps of 64 KiB; the
entries; and what is kept of them. Python's tarfile keeps an extended header in memory, however long it claims to be.

What is read is what Go's and GNU's programs write: ustar, the long names of GNU, and the path of pax.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BLOCK = 512
_STEP_BYTES = 64 * 1024
_GZIP = b"\x1f\x8b"
_WBITS = 31
_REGULAR = frozenset(b"0\x007")
# Links, devices, folders and pipes: no bytes follow, whatever size they claim, as for Go's and GNU's programs.
_EMPTY = frozenset(b"123456")
_LONG_NAME, _PAX, _GLOBAL_PAX, _LONG_LINK, _SPARSE = b"LxgKS"


class ArchiveError(ValueError):
    """The archive is damaged or exceeds a bound. Its text is a clause that follows the name of the archive."""


@dataclass(frozen=True, slots=True)
class ArchiveBounds:
    """The largest archive that is read.

    Attributes:
        expanded_bytes: the bytes of the tar file.
        entries: the files, folders, links and headers in it.
        file_bytes: the file that is looked for.
        header_bytes: one extended header.
        members: the parts that gzip has compressed one by one.
    """

    expanded_bytes: int = 100 * 1024 * 1024
    entries: int = 20_000
    file_bytes: int = 5 * 1024 * 1024
    header_bytes: int = 64 * 1024
    members: int = 10_000


# Helm's own bounds, in bytes: no chart that it installs is larger.
DEFAULT_BOUNDS = ArchiveBounds()


class ArchiveSearch:
    """Looks for the first regular file whose name somebody wants.

    Attributes:
        content: the bytes of the file; None as long as it was not found.
        is_over: whether nothing that follows can change the result.
    """

    def __init__(self, wants: Callable[[str], bool], bounds: ArchiveBounds = DEFAULT_BOUNDS) -> None:
        """Takes what says whether a name is wanted, and the bounds."""
        self.content: bytes | None = None
        self.is_over = False
        self._wants = wants
        self._bounds = bounds
        self._head = b""
        self._gzip: zlib._Decompress | None = None
        self._is_plain = False
        self._members = 0
        self._rest = b""
        self._block = bytearray()
        self._expanded = 0
        self._entries = 0
        # What comes next: so many bytes that are kept (or not), and so many that fill the last block.
        self._kept: bytearray | None = None
        self._kept_kind = 0
        self._left = 0
        self._padding = 0
        self._name = ""

    def feed(self, data: bytes) -> None:
        """Reads the next piece. It takes up to some tenths of a second, so it runs in a thread.

        Raises:
            ArchiveError: the archive is damaged or exceeds a bound.
        """
        if self.is_over:
            return
        for expanded in self._expand(data):
            self._expanded += len(expanded)
            if self._expanded > self._bounds.expanded_bytes:
                raise ArchiveError(f"has more than {self._bounds.expanded_bytes} bytes when it is expanded")
            if self._read(expanded):
                return

    def finish(self) -> None:
        """Says that no piece follows.

        Raises:
            ArchiveError: the archive ends too early.
        """
        if self.is_over:
            return
        is_compressed = self._gzip is not None and (not self._gzip.eof)
        if is_compressed or self._left or self._block or self._head or not self._entries:
            raise ArchiveError("ends too early")
        self.is_over = True

    def _expand(self, data: bytes) -> Iterator[bytes]:
        if not self._is_plain and self._gzip is None:
            self._head += data
            if len(self._head) < len(_GZIP):
                return
            data, self._head = self._head, b""
            if data.startswith(_GZIP):
                self._gzip = zlib.decompressobj(_WBITS)
            else:
                self._is_plain = True
        if self._gzip is None:
            for start in range(0, len(data), _STEP_BYTES):
                yield data[start : start + _STEP_BYTES]
            return
        # In steps: zlib copies what it has not read yet, and one piece may hold thousands of members.
        for start in range(0, len(data), _STEP_BYTES):
            yield from self._decompress(data[start : start + _STEP_BYTES])

    def _decompress(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._gzip is None or self._gzip.eof:
                # The next member of the same file, or zeros that fill it up.
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._members += 1
                if self._members > self._bounds.members:
                    raise ArchiveError(f"has more than {self._bounds.members} parts")
                self._gzip = zlib.decompressobj(_WBITS)
            try:
                expanded = self._gzip.decompress(data, _STEP_BYTES)
            except zlib.error:
                raise ArchiveError("is not compressed by gzip as it says") from None
            data = self._gzip.unused_data if self._gzip.eof else self._gzip.unconsumed_tail
            if expanded:
                yield expanded

    def _read(self, data: bytes) -> bool:
        """Reads bytes of the tar file. Returns whether the search is over."""
        position = 0
        while position < len(data) and not self.is_over:
            if self._left:
                taken = min(self._left, len(data) - position)
                if self._kept is not None:
                    self._kept += data[position : position + taken]
                self._left -= taken
                position += taken
                if not self._left:
                    self._end_entry()
            elif self._padding:
                taken = min(self._padding, len(data) - position)
                self._padding -= taken
                position += taken
            else:
                taken = min(_BLOCK - len(self._block), len(data) - position)
                self._block += data[position : position + taken]
                position += taken
                if len(self._block) == _BLOCK:
                    block, self._block = bytes(self._block), bytearray()
                    self._begin_entry(block)
        return self.is_over

    def _begin_entry(self, block: bytes) -> None:
        if not any(block):
            # Two such blocks are the end. One is enough: Go's program does not read on, either.
            self.is_over = True
            return
        self._entries += 1
        if self._entries > self._bounds.entries:
            raise ArchiveError(f"has more than {self._bounds.entries} entries")
        if _checksum(block) != _octal(block[148:156]):
            raise ArchiveError("is not a tar file, or is damaged")
        kind = block[156]
        size = 0 if kind in _EMPTY else _number(block[124:136])
        self._left, self._padding = size, -size % _BLOCK
        self._kept, self._kept_kind = None, kind
        if kind in (_LONG_NAME, _PAX):
            if size > self._bounds.header_bytes:
                raise ArchiveError(f"has a header of more than {self._bounds.header_bytes} bytes")
            self._kept = bytearray()
        elif kind not in (_GLOBAL_PAX, _LONG_LINK):
            name, self._name = self._name or _name(block), ""
            if kind in _REGULAR and self._wants(name):
                if size > self._bounds.file_bytes:
                    raise ArchiveError(f"has a {name!r} of more than {self._bounds.file_bytes} bytes")
                self._kept = bytearray()
        if not size:
            self._end_entry()

    def _end_entry(self) -> None:
        kept, self._kept = self._kept, None
        if kept is None:
            return
        if self._kept_kind == _LONG_NAME:
            self._name = _text(bytes(kept))
        elif self._kept_kind == _PAX:
            self._name = _pax_path(bytes(kept)) or self._name
        else:
            self.content = bytes(kept)
            self.is_over = True


def _checksum(block: bytes) -> int:
    return sum(block[:148]) + 8 * ord(" ") + sum(block[156:])


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits:
        return 0
    try:
        return int(digits, 8)
    except ValueError:
        raise ArchiveError("is not a tar file, or is damaged") from None


def _number(field: bytes) -> int:
    """A size: octal, or GNU's base 256 for large ones."""
    size = int.from_bytes(field, "big") & ((1 << 95) - 1) if field[0] & 0x80 else _octal(field)
    if size < 0 or size >= 2**63:
        raise ArchiveError("is not a tar file, or is damaged")
    return size


def _name(block: bytes) -> str:
    name, prefix = _text(block[:100]), _text(block[345:500])
    return f"{prefix}/{name}" if prefix and block[257:262] == b"ustar" and block[263:265] == b"00" else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _pax_path(records: bytes) -> str:
    """The path in an extended header: lines of `<length> <key>=<value>`."""
    path = ""
    while records:
        length, space, _ = records.partition(b" ")
        if not space or not length.isdigit() or len(length) > 6 or not len(length) + 1 < int(length) <= len(records):
            raise ArchiveError("is not a tar file, or is damaged")
        record, records = records[len(length) + 1 : int(length)], records[int(length) :]
        key, _, value = record.partition(b"=")
        if key == b"path":
            path = _text(value.removesuffix(b"\n"))
        elif key == b"size":
            # Only for files of more than 8 GiB, which are longer than any archive that is read.
            raise ArchiveError("has a file that is too large")
    return path
