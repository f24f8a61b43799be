"""Byte ranges: of a GET (RFC 9110 §14), and of an upload (the distribution spec, which has another format)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from svckit.errors import error_for

_UPLOAD_RANGE = re.compile(r"([0-9]{1,19})-([0-9]{1,19})", re.ASCII)
# A number beyond the end of the blob is no error (RFC 9110 §14.1.2), so long numbers are read. The limit of 100 digits
# keeps parsing cheap.
_SPEC = re.compile(r"([0-9]{0,100})-([0-9]{0,100})", re.ASCII)


# The bytes of a smaller gap between two ranges are read and dropped, which costs less than a second read.
_READ_THROUGH_BYTES = 1024 * 1024
_MOST_READS_IN_ANY_ORDER = 8
_MOST_READS = 100


class UnsatisfiableRange(ValueError):
    """The blob has no byte in any of the ranges: 416."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Some bytes of a blob.

    Attributes:
        first: offset of the first byte.
        last: offset of the last one, inclusive.
    """

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.last - self.first + 1

    @property
    def positions(self) -> range:
        """The offsets of its bytes."""
        return range(self.first, self.last + 1)

    def content_range(self, size: int) -> str:
        """The value of `Content-Range`."""
        return f"bytes {self.first}-{self.last}/{size}"


def parse_range(header: str, size: int, max_ranges: int) -> tuple[ByteRange, ...]:
    """Reads a Range header.

    Args:
        header: its value; empty without one.
        size: the size of the blob, in bytes.
        max_ranges: the largest number of ranges that is served.

    Returns:
        The ranges in the order of the header, cut at the end of the blob. Those that overlap or touch are joined (RFC
        9110 §14.2), so that a small request never causes an answer that is larger than the blob. Empty if the whole
        blob is the answer: there is no header, the unit is not bytes, or there are more ranges than `max_ranges`.

    Raises:
        UnsatisfiableRange: no range has a byte of the blob, or one is malformed.
    """
    unit, equals, text = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return ()
    # Empty elements of a list are ignored (RFC 9110 §5.6.1.2).
    specs = [spec for spec in map(str.strip, text.split(",")) if spec]
    if len(specs) > max_ranges:
        return ()
    ranges = []
    for spec in specs:
        found = _parse_spec(spec, size)
        if found is not None:
            ranges.append(found)
    if not ranges:
        raise UnsatisfiableRange
    return _joined(ranges)


def _joined(ranges: Sequence[ByteRange]) -> tuple[ByteRange, ...]:
    """The ranges without overlaps. A joined range takes the place of the first of its parts."""
    if len(ranges) < 2:
        return tuple(ranges)
    places: list[tuple[int, ByteRange]] = []
    for place, each in sorted(enumerate(ranges), key=lambda item: item[1].first):
        if places and each.first <= places[-1][1].last + 1:
            earlier, before = places[-1]
            places[-1] = min(place, earlier), ByteRange(before.first, max(before.last, each.last))
        else:
            places.append((place, each))
    return tuple(each for _, each in sorted(places, key=lambda item: item[0]))


@dataclass(frozen=True, slots=True)
class BlobRead:
    """One read of a blob, from which some parts are cut.

    Attributes:
        parts: in ascending order, without overlaps.
    """

    parts: tuple[ByteRange, ...]

    @property
    def whole(self) -> ByteRange:
        """All bytes that are read."""
        return ByteRange(self.parts[0].first, self.parts[-1].last)


def plan_reads(ranges: Sequence[ByteRange]) -> tuple[BlobRead, ...]:
    """Puts ranges into few reads, because each read costs as much as a mebibyte of data.

    Args:
        ranges: ranges that do not overlap.

    Returns:
        The reads, with all ranges in order. That is the order of the request, unless it needs many reads: then it is
        ascending, which HTTP allows (RFC 9110 §15.3.7.2). Empty if even that would be too many, as with a thousand
        ranges all over a large blob. The whole blob is the answer then.
    """
    reads = _reads(ranges)
    if len(reads) > _MOST_READS_IN_ANY_ORDER:
        reads = _reads(sorted(ranges, key=lambda each: each.first))
    return tuple(map(BlobRead, reads)) if len(reads) <= _MOST_READS else ()


def _reads(ranges: Sequence[ByteRange]) -> list[tuple[ByteRange, ...]]:
    reads: list[list[ByteRange]] = []
    for each in ranges:
        gap = each.first - reads[-1][-1].last if reads else 0
        if 0 < gap <= _READ_THROUGH_BYTES:
            reads[-1].append(each)
        else:
            reads.append([each])
    return [tuple(parts) for parts in reads]


def _parse_spec(spec: str, size: int) -> ByteRange | None:
    """One range; None if it is beyond the end."""
    match = _SPEC.fullmatch(spec)
    if match is None or not (match[1] or match[2]):
        raise UnsatisfiableRange
    if not match[1]:
        suffix = int(match[2])
        return ByteRange(max(size - suffix, 0), size - 1) if suffix and size else None
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        raise UnsatisfiableRange
    return ByteRange(first, min(last, size - 1)) if first < size else None


@dataclass(frozen=True, slots=True)
class Multipart:
    """The frame of a `multipart/byteranges` body.

    Attributes:
        boundary: the text between the parts. It is random, so that the content does not contain it by chance.
        heads: for each part, what is sent before its bytes.
        ranges: the parts.
        tail: what is sent after the last part.
        size_bytes: the size of the whole body.
    """

    boundary: str
    heads: tuple[bytes, ...]
    ranges: tuple[ByteRange, ...]
    tail: bytes
    size_bytes: int

    @classmethod
    def of(cls, ranges: Sequence[ByteRange], size: int, media_type: str) -> Multipart:
        """Frames some ranges of a blob."""
        boundary = secrets.token_hex(16)
        head = f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: "
        heads = tuple(f"{head}{each.content_range(size)}\r\n\r\n".encode() for each in ranges)
        tail = f"\r\n--{boundary}--\r\n".encode()
        total = sum(len(head) for head in heads) + sum(each.length for each in ranges) + len(tail)
        return cls(boundary, heads, tuple(ranges), tail, total)

    @property
    def parts(self) -> list[bytes | range]:
        """The whole body, in order: bytes that are sent as they are, and the offsets of those of the blob."""
        framed = (part for head, each in zip(self.heads, self.ranges, strict=True) for part in (head, each.positions))
        return [*framed, self.tail]

    @property
    def content_type(self) -> str:
        """The value of `Content-Type`."""
        return f"multipart/byteranges; boundary={self.boundary}"


def parse_upload_range(header: str) -> ByteRange:
    """Reads the Content-Range of an upload's chunk: `<first>-<last>`, with no unit.

    Raises:
        DomainError: BLOB_UPLOAD_INVALID for another form, RANGE_INVALID for a range that ends before it begins.
    """
    match = _UPLOAD_RANGE.fullmatch(header.strip())
    if match is None:
        raise error_for("BLOB_UPLOAD_INVALID", "the Content-Range of a chunk has the form <first>-<last>, in bytes")
    found = ByteRange(int(match[1]), int(match[2]))
    if found.length < 1 or found.last >= 2**63:
        raise error_for("RANGE_INVALID", "the Content-Range ends before it begins")
    return found


def upload_range(committed_size_bytes: int) -> str:
    """The Range header of an upload: the bytes received so far. An empty upload has 0-0, never 0--1."""
    return f"0-{max(committed_size_bytes - 1, 0)}"
